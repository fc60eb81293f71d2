//! Makes components of core modules, which compilers make.

use wasmparser::{Parser, Payload};
use wit_component::ComponentEncoder;

use super::{Finding, Rejection, Stage, imports_something, one_line};
use crate::policy::sections;

/// Makes a core module into a component.
///
/// # Errors
/// [`Rejection`] says what the module lacks.
pub(in crate::policy) fn encode(module: &[u8]) -> Result<Vec<u8>, Rejection> {
    check_module(module)?;
    let encoded =
        ComponentEncoder::default().module(module).and_then(|mut encoder| encoder.encode());
    encoded.map_err(|error| Rejection::reason(Stage::Exports, one_line(&format!("{error:#}"))))
}

/// Checks that a module imports nothing and says for which contract it was built.
fn check_module(module: &[u8]) -> Result<(), Rejection> {
    let mut described = false;
    let mut imports = Vec::new();
    for payload in Parser::new(0).parse_all(module).filter_map(Result::ok) {
        if let Payload::CustomSection(section) = payload {
            described |= section.name().starts_with(sections::CONTRACT_SECTION);
        } else if let Payload::ImportSection(section) = payload {
            for import in section.into_imports().filter_map(Result::ok) {
                let at = format!("{}::{}", import.module, import.name);
                imports.push(Finding::new(at, "imported by the core module"));
            }
        }
    }
    if !imports.is_empty() {
        return Err(imports_something(imports));
    }
    if !described {
        let reason = "it is a core module that does not say for which contract it was built: \
                      it has no `component-type` section, as bindings from policy.wit leave one";
        return Err(Rejection::reason(Stage::Exports, reason));
    }
    Ok(())
}
