//! Custom sections of WebAssembly files: finding, appending and leaving out.

use std::borrow::Cow;

use wasm_encoder::{ComponentSection, CustomSection, Module, RawSection};
use wasmparser::{Parser, Payload};

/// The description of the contract that bindings leave in a core module.
pub(super) const CONTRACT_SECTION: &str = "component-type";

/// The content of the outermost custom section of this name.
pub(super) fn find<'a>(wasm: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let mut depth = 0_u32;
    for payload in Parser::new(0).parse_all(wasm) {
        let payload = payload.ok()?;
        if let Payload::Version { .. } = payload {
            depth += 1;
        } else if let Payload::End(_) = payload {
            depth = depth.saturating_sub(1);
        } else if let Payload::CustomSection(section) = payload
            && depth == 1
            && section.name() == name
        {
            return Some(section.data());
        }
    }
    None
}

/// Appends a custom section to a component.
pub(super) fn append(component: &mut Vec<u8>, name: &str, data: &[u8]) {
    let section = CustomSection { name: Cow::Borrowed(name), data: Cow::Borrowed(data) };
    section.append_to_component(component);
}

/// The core module without the custom sections that vary with the machine that built it (names,
/// producers), and with those that describe its contract.
///
/// # Errors
/// Those of the parser.
pub(super) fn without_names(module: &[u8]) -> Result<Vec<u8>, wasmparser::Error> {
    let mut kept = Module::new();
    for payload in Parser::new(0).parse_all(module) {
        let payload = payload?;
        if let Payload::CustomSection(section) = &payload
            && !section.name().starts_with(CONTRACT_SECTION)
        {
            continue;
        }
        if let Some((id, range)) = payload.as_section() {
            kept.section(&RawSection { id, data: &module[range] });
        }
    }
    Ok(kept.finish())
}
