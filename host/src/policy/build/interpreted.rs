//! Policies in JavaScript and Python: an interpreter and the sources become one component. WASI is
//! replaced by traps, so that the component imports nothing.
//!
//! The compiler of each comes from its language's own registry, in the version that the project
//! names, into the project's folder.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::Deserialize;

use super::BuildError;

/// A compiler that is installed in a project.
pub(super) struct Compiler {
    program: PathBuf,
    /// The compiler's name and version, as it prints them.
    pub(super) version: String,
}

/// A project's `package.json`; only the field that is used here.
#[derive(Deserialize)]
struct ProjectManifest {
    main: Option<String>,
}

/// The world that every policy exports.
const WORLD: &str = "policy";

/// The compiler for JavaScript, installed if it is not.
pub(super) fn javascript(directory: &Path) -> Result<Compiler, BuildError> {
    let program = absolute(directory)?.join("node_modules/componentize-qjs/cli.mjs");
    if !program.is_file() {
        let npm = "comes with Node.js: install version 18 or newer (Debian: packages nodejs, npm)";
        let mut install = Command::new("npm");
        install.args(["install", "--no-audit", "--no-fund"]).current_dir(directory);
        run(install, npm)?;
    }
    installed(
        &program,
        "componentize-qjs",
        "is not installed: package.json has to name it in its devDependencies",
    )?;
    let manifest = directory.join("node_modules/componentize-qjs/package.json");
    let text = read(&manifest)?;
    let package: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
    let version = package.get("version").and_then(serde_json::Value::as_str).unwrap_or_default();
    Ok(Compiler { version: format!("componentize-qjs {version}"), program })
}

/// Compiles the module that `package.json` names, and what it imports.
pub(super) fn compile_javascript(
    directory: &Path,
    compiler: &Compiler,
) -> Result<Vec<u8>, BuildError> {
    let package = read(&directory.join("package.json"))?;
    let package: ProjectManifest = serde_json::from_str(&package)
        .map_err(|error| BuildError::Failed(format!("package.json can't be read: {error}")))?;
    let main = package.main.unwrap_or_else(|| "policy.js".into());
    let output = Output::new()?;
    // Called by its path, not by its name in `.bin`: Node.js 18 does not know that name for a
    // module.
    let mut command = Command::new("node");
    command.arg(&compiler.program);
    command.args(["--wit", "wit", "--world", WORLD, "--js", &main, "--stub-wasi", "--sync"]);
    command.arg("--output").arg(output.path()).current_dir(directory);
    run(command, "is missing: install Node.js 18 or newer (Debian: package nodejs)")?;
    output.read()
}

/// The compiler for Python, installed if it is not.
pub(super) fn python(directory: &Path) -> Result<Compiler, BuildError> {
    let environment = absolute(directory)?.join(".venv");
    let program = environment.join("bin/componentize-py");
    if !program.is_file() {
        let mut venv = Command::new("python3");
        venv.args(["-m", "venv", ".venv"]).current_dir(directory);
        run(
            venv,
            "is missing: install Python 3.11 or newer (Debian: packages python3, python3-venv)",
        )?;
        let mut install = Command::new(environment.join("bin/python"));
        install.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
        install.args(["-r", "requirements.txt"]).current_dir(directory);
        run(install, "is missing: `python3 -m venv` makes it (Debian: package python3-venv)")?;
    }
    let missing = "is not installed: requirements.txt has to name it";
    installed(&program, "componentize-py", missing)?;
    let mut ask = Command::new(&program);
    ask.arg("--version");
    Ok(Compiler { version: run(ask, "can't be started")?.trim().to_owned(), program })
}

/// Compiles the module `app` and what it imports, and leaves the types of the contract in
/// `bindings`, for the project's own tests.
pub(super) fn compile_python(directory: &Path, compiler: &Compiler) -> Result<Vec<u8>, BuildError> {
    let bindings = directory.join("bindings");
    if bindings.is_dir() {
        fs::remove_dir_all(&bindings)
            .map_err(|error| BuildError::File { path: bindings.clone(), error })?;
    }
    let command = || {
        let mut command = Command::new(&compiler.program);
        command.args(["--quiet", "--wit-path", "wit", "--world", WORLD]).current_dir(directory);
        // Imports are looked for in the project's environment, not in the one that is active.
        command.env("VIRTUAL_ENV", ".venv");
        command
    };
    let missing = "can't be started";
    let mut generate = command();
    generate.args(["bindings", "bindings"]);
    run(generate, missing)?;
    let output = Output::new()?;
    let mut compile = command();
    compile.args(["componentize", "app", "--stub-wasi", "--output"]).arg(output.path());
    run(compile, missing)?;
    output.read()
}

/// Runs a tool and returns what it printed; its errors go to standard error. `missing` says what to
/// do if there is no such program.
fn run(mut command: Command, missing: &'static str) -> Result<String, BuildError> {
    let tool = Path::new(command.get_program());
    let tool = tool.file_name().unwrap_or(tool.as_os_str()).to_string_lossy().into_owned();
    let output = match command.stdin(Stdio::null()).stderr(Stdio::inherit()).output() {
        Ok(output) => output,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(BuildError::Missing { tool, remedy: missing });
        }
        Err(error) => return Err(BuildError::Tool { tool, error }),
    };
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(printed);
    }
    let arguments: Vec<_> = command.get_args().map(|part| part.to_string_lossy()).collect();
    let printed = printed.trim_end();
    Err(BuildError::Failed(format!("{printed}\n{tool} {}", arguments.join(" ")).trim().into()))
}

fn installed(program: &Path, tool: &str, remedy: &'static str) -> Result<(), BuildError> {
    if program.is_file() {
        return Ok(());
    }
    Err(BuildError::Missing { tool: tool.to_owned(), remedy })
}

fn absolute(directory: &Path) -> Result<PathBuf, BuildError> {
    let failed = |error| BuildError::File { path: directory.to_owned(), error };
    fs::canonicalize(directory).map_err(failed)
}

fn read(path: &Path) -> Result<String, BuildError> {
    fs::read_to_string(path).map_err(|error| BuildError::File { path: path.to_owned(), error })
}

/// Where a compiler writes.
struct Output(tempfile::TempDir);

impl Output {
    fn new() -> Result<Self, BuildError> {
        let failed = |error| BuildError::File { path: std::env::temp_dir(), error };
        tempfile::tempdir().map(Self).map_err(failed)
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("policy.wasm")
    }

    fn read(&self) -> Result<Vec<u8>, BuildError> {
        let path = self.path();
        fs::read(&path).map_err(|error| BuildError::File { path, error })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tool_that_is_missing_is_named_with_what_to_do() {
        let command = Command::new("no-such-tool-anywhere");
        let error = run(command, "is missing: install it").unwrap_err();
        assert_eq!(error.to_string(), "no-such-tool-anywhere is missing: install it");
    }

    #[test]
    fn a_tool_that_fails_is_named_with_its_arguments_and_what_it_printed() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo no such world; exit 3"]);
        let error = run(command, "").unwrap_err().to_string();
        assert_eq!(error, "no such world\nsh -c echo no such world; exit 3 failed");
    }

    #[test]
    fn a_project_that_does_not_name_its_compiler_is_told_so() {
        let project = tempfile::TempDir::new().unwrap();
        let error = installed(&project.path().join("x"), "componentize-py", "is not named");
        assert_eq!(error.unwrap_err().to_string(), "componentize-py is not named");
    }
}
