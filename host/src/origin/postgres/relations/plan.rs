//! The tables that a plan modifies.

use serde_json::Value as Json;

/// One node of a plan that modifies a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Modified {
    pub(super) schema: String,
    pub(super) name: String,
    pub(super) operation: PlanOperation,
    /// Whether the node is the statement itself, not a part of it and nothing that a rule adds.
    pub(super) is_statement: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PlanOperation {
    Insert,
    /// `ON CONFLICT DO UPDATE`
    Upsert,
    Update,
    Delete,
    /// `MERGE`, or an operation that is not known here: it may do anything.
    Any,
}

/// The nodes that modify a table, at any depth: data-modifying common table expressions are plans
/// within the plan.
pub(super) fn modified(plans: &Json) -> Vec<Modified> {
    let mut found = Vec::new();
    let plans = plans.as_array().map(Vec::as_slice).unwrap_or_default();
    for plan in plans {
        collect(&plan["Plan"], plans.len() == 1, &mut found);
    }
    found
}

fn collect(node: &Json, is_statement: bool, found: &mut Vec<Modified>) {
    if let (Some("ModifyTable"), Some(name)) =
        (node["Node Type"].as_str(), node["Relation Name"].as_str())
    {
        let schema = node["Schema"].as_str().unwrap_or("public");
        let (schema, name) = (schema.to_owned(), name.to_owned());
        found.push(Modified { schema, name, operation: operation(node), is_statement });
    }
    for child in node["Plans"].as_array().map(Vec::as_slice).unwrap_or_default() {
        collect(child, false, found);
    }
}

fn operation(node: &Json) -> PlanOperation {
    match node["Operation"].as_str() {
        Some("Insert") if node["Conflict Resolution"] == "UPDATE" => PlanOperation::Upsert,
        Some("Insert") => PlanOperation::Insert,
        Some("Update") => PlanOperation::Update,
        Some("Delete") => PlanOperation::Delete,
        _ => PlanOperation::Any,
    }
}
