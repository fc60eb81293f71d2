//! A private nginx.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::process::Command;
use std::thread::available_parallelism;

use tempfile::TempDir;

use super::program::Program;

/// Debian's package puts this outside the path of users other than root.
const PROGRAM: &str = "/usr/sbin/nginx";

/// Starts it with a worker for each core, and returns when `ready_path` is answered at the port
/// that `http` listens on. `modules` stands at the top of its configuration, `http` in the block of
/// that name; `home` is its folder, and is removed with it.
///
/// # Errors
/// When it is not installed, or does not come up; with its log.
pub async fn nginx(
    home: TempDir,
    port: u16,
    modules: &str,
    http: &str,
    ready_path: &str,
) -> anyhow::Result<Program> {
    let path = home.path().display().to_string();
    // As root, nginx would run its workers as a user that can't enter a private folder.
    let is_root = fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0);
    let config = format!(
        "{modules}daemon off; worker_processes {workers}; pid {path}/pid; error_log {path}/error.log;\n\
         {user}events {{ worker_connections 4096; }}\n\
         http {{\naccess_log off;\n\
         client_body_temp_path {path}/1; proxy_temp_path {path}/2; fastcgi_temp_path {path}/3;\n\
         uwsgi_temp_path {path}/4; scgi_temp_path {path}/5;\n\
         {http}\n}}\n",
        workers = available_parallelism().map_or(1, usize::from),
        user = if is_root { "user root;\n" } else { "" },
    );
    fs::write(home.path().join("nginx.conf"), config)?;
    let mut command = Command::new(PROGRAM);
    command.arg("-e").arg(home.path().join("error.log"));
    command.arg("-p").arg(home.path()).arg("-c").arg(home.path().join("nginx.conf"));
    Program::start(command, home, port, ready_path).await
}
