//! From bytes to something that can be instantiated: what the file itself must be.

use std::borrow::Cow;

use wasmparser::{Encoding, Parser, Payload};
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, Linker};

use super::{CONTRACT, Finding, Rejection, Stage};
use crate::policy::Engine;
use crate::policy::bindings::{Policy, PolicyPre};
use crate::policy::run::engine::Budget;
use crate::policy::run::pool::one_line;

#[cfg(feature = "modules")]
mod modules;

#[cfg(feature = "modules")]
pub(in crate::policy) use modules::encode;

/// The functions that the world's interface exports.
const EXPORTS: [&str; 6] = ["describe", "configure", "plan", "row-tags", "step", "invalidate"];

/// Every check that needs no instance.
pub(super) fn prepare(engine: &Engine, bytes: &[u8]) -> Result<PolicyPre<Budget>, Rejection> {
    check_size(bytes, engine.limits().component_bytes)?;
    check_magic(bytes)?;
    let component = match encoding(bytes)? {
        Encoding::Component => Cow::Borrowed(bytes),
        Encoding::Module => Cow::Owned(encode(bytes)?),
    };
    let component = engine
        .compile(&component)
        .map_err(|error| Rejection::reason(Stage::Validity, describe(&error)))?;
    check_imports(engine, &component)?;
    check_exports(engine, &component)
}

/// Refuses a core module: this build can't make a component of one.
#[cfg(not(feature = "modules"))]
fn encode(_module: &[u8]) -> Result<Vec<u8>, Rejection> {
    let reason = "it is a core module, and this host takes components alone; `corral policy build` \
                  makes one";
    Err(Rejection::reason(Stage::Format, reason))
}

fn check_size(bytes: &[u8], limit: usize) -> Result<(), Rejection> {
    if bytes.len() <= limit {
        return Ok(());
    }
    let bytes = bytes.len();
    let reason = format!("it has {bytes} bytes, policy.limits.component allows {limit}");
    Err(Rejection::reason(Stage::Size, reason))
}

fn check_magic(bytes: &[u8]) -> Result<(), Rejection> {
    const MAGIC: &[u8] = b"\0asm";
    let reason = if bytes.is_empty() {
        "it is empty"
    } else if bytes.starts_with(MAGIC) {
        return Ok(());
    } else if MAGIC.starts_with(bytes) {
        "it ends within the first four bytes"
    } else if std::str::from_utf8(bytes).is_ok_and(|text| !text.contains('\0')) {
        "it is text; a policy is a compiled component (`corral policy build` makes one)"
    } else {
        "it is not WebAssembly: it does not begin with `\\0asm`"
    };
    Err(Rejection::reason(Stage::Format, reason))
}

/// Whether the file is a component or a core module; walks the whole file.
fn encoding(bytes: &[u8]) -> Result<Encoding, Rejection> {
    let mut outermost = None;
    for payload in Parser::new(0).parse_all(bytes) {
        let payload = payload.map_err(|error| {
            if error.message().starts_with("unexpected end") {
                let reason = format!("it ends too early, after {} bytes: truncated", bytes.len());
                return Rejection::reason(Stage::Format, reason);
            }
            Rejection::reason(Stage::Validity, one_line(&error.to_string()))
        })?;
        if let Payload::Version { encoding, .. } = payload {
            outermost = outermost.or(Some(encoding));
        }
    }
    outermost.ok_or_else(|| Rejection::reason(Stage::Format, "it has no header"))
}

fn imports_something(findings: Vec<Finding>) -> Rejection {
    Rejection::findings(Stage::Imports, "it imports something; a policy imports nothing", findings)
}

fn check_imports(engine: &Engine, component: &Component) -> Result<(), Rejection> {
    let ty = component.component_type();
    let findings: Vec<Finding> = ty
        .imports(engine.wasmtime())
        .map(|(name, item)| Finding::new(name, imported(engine, &item.ty)))
        .collect();
    if findings.is_empty() { Ok(()) } else { Err(imports_something(findings)) }
}

/// What an import is, for the author that has to remove it.
fn imported(engine: &Engine, item: &ComponentItem) -> String {
    match item {
        ComponentItem::ComponentInstance(instance) => {
            let names: Vec<&str> =
                instance.exports(engine.wasmtime()).map(|(name, _)| name).collect();
            format!("an interface with {}", names.join(", "))
        }
        ComponentItem::ComponentFunc(_) | ComponentItem::CoreFunc(_) => "a function".into(),
        ComponentItem::Module(_) => "a module".into(),
        ComponentItem::Component(_) => "a component".into(),
        ComponentItem::Resource(_) => "a resource".into(),
        ComponentItem::Type(_) => "a type".into(),
    }
}

fn check_exports(engine: &Engine, component: &Component) -> Result<PolicyPre<Budget>, Rejection> {
    let missing = missing(engine, component);
    if !missing.is_empty() {
        let reason = format!("it does not export the functions of {CONTRACT}");
        let reason = with_contract(engine, component, reason);
        return Err(Rejection::findings(Stage::Exports, reason, missing));
    }
    let pre = Linker::new(engine.wasmtime()).instantiate_pre(component).and_then(PolicyPre::new);
    let pre = pre.and_then(|pre| check_types(engine, &pre).map(|()| pre));
    pre.map_err(|error| {
        let reason = format!("its types are not those of {CONTRACT}: {}", describe(&error));
        Rejection::reason(Stage::Exports, with_contract(engine, component, reason))
    })
}

/// The types of an interface's functions are compared when an instance is loaded. If no instance
/// can be made, the check of instances reports that.
fn check_types(engine: &Engine, pre: &PolicyPre<Budget>) -> wasmtime::Result<()> {
    let mut store = engine.starting_store();
    match pre.instance_pre().instantiate(&mut store) {
        Ok(instance) => Policy::new(&mut store, &instance).map(|_policy| ()),
        Err(_) => Ok(()),
    }
}

/// The functions that the interface lacks, or the interface if it is missing.
fn missing(engine: &Engine, component: &Component) -> Vec<Finding> {
    let ty = component.component_type();
    let (package, version) = CONTRACT.split_once('@').unwrap_or((CONTRACT, ""));
    let name = format!("{package}/decisions@{version}");
    let exported = ty.get_export(engine.wasmtime(), &name).map(|item| item.ty);
    let Some(ComponentItem::ComponentInstance(decisions)) = exported else {
        return vec![Finding::new(name, "not exported")];
    };
    let find = |function: &&str| match decisions
        .get_export(engine.wasmtime(), function)
        .map(|item| item.ty)
    {
        Some(ComponentItem::ComponentFunc(_)) => None,
        Some(_) => Some(Finding::new(*function, "exported, but not as a function")),
        None => Some(Finding::new(*function, "not exported")),
    };
    EXPORTS.iter().filter_map(find).collect()
}

/// Adds for which version of the contract a component was built, if that is not the host's.
fn with_contract(engine: &Engine, component: &Component, reason: String) -> String {
    match contract(engine, component) {
        Some(built_for) if built_for != CONTRACT => {
            let remedy = remedy(&built_for);
            format!("it was built for {built_for}, this host speaks {CONTRACT}: {remedy}; {reason}")
        }
        Some(_) | None => reason,
    }
}

/// How a component of another contract becomes one of this host's.
fn remedy(built_for: &str) -> &'static str {
    let version = |contract: &str| {
        let (_, version) = contract.split_once('@')?;
        version.split('.').map(str::parse).collect::<Result<Vec<u32>, _>>().ok()
    };
    if version(built_for) > version(CONTRACT) {
        return "serve it with a newer host, or build it with this one's `corral policy build`";
    }
    "`corral policy new` writes a project of this contract; move into its file what the policy \
     decides otherwise than the built-in one, and build that"
}

/// The contract whose types a component names: `corral:policy/types@0.2.0` stands for
/// `corral:policy@0.2.0`.
fn contract(engine: &Engine, component: &Component) -> Option<String> {
    let (package, _) = CONTRACT.split_once('@')?;
    let ty = component.component_type();
    let imports = ty.imports(engine.wasmtime()).map(|(name, _)| name.to_owned());
    let exports = ty.exports(engine.wasmtime()).map(|(name, _)| name.to_owned());
    imports.chain(exports).find_map(|name| {
        let interface = name.strip_prefix(package)?.strip_prefix('/')?;
        let (_, version) = interface.split_once('@')?;
        Some(format!("{package}@{version}"))
    })
}

fn describe(error: &wasmtime::Error) -> String {
    one_line(&format!("{error:#}"))
}
