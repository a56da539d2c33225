//! Records for `idev-backup --version` what the program was built from, and gives the Windows
//! program its version resource.

use std::path::Path;
use std::process::Command;
use std::{env, fs};

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=BUILD_COMMIT");
    let var = |name: &str| env::var(name).unwrap_or_default();
    println!("cargo:rustc-env=BUILD_TARGET={}", var("TARGET"));
    println!("cargo:rustc-env=BUILD_COMMIT={}", commit());
    if var("CARGO_CFG_TARGET_OS") == "windows" {
        let mut resource = winresource::WindowsResource::new();
        resource
            .set("ProductName", "idev-backup")
            .set("FileDescription", &var("CARGO_PKG_DESCRIPTION"))
            .set("LegalCopyright", &var("CARGO_PKG_LICENSE"))
            .set("OriginalFilename", "idev-backup.exe");
        // A program without this resource works nevertheless.
        if let Err(e) = resource.compile() {
            println!("cargo:warning=no version resource: {e}");
        }
    }
}

/// Returns the first 12 digits of the commit: from the variable `BUILD_COMMIT`, else from the
/// file that `cargo package` adds, else from git. Development builds do not ask git, because each
/// commit would then compile the crate again.
fn commit() -> String {
    let digits = |hash: &str| hash.trim().chars().take(12).collect::<String>();
    if let Ok(given) = env::var("BUILD_COMMIT")
        && !given.is_empty()
    {
        return digits(&given);
    }
    if let Ok(packaged) = fs::read_to_string(".cargo_vcs_info.json") {
        let hash = packaged.split("\"sha1\": \"").nth(1);
        return hash.map_or_else(|| "unknown".to_owned(), digits);
    }
    if env::var("PROFILE").as_deref() != Ok("release") {
        return "unknown (a development build)".to_owned();
    }
    // A package unpacked inside of another repository has no `.git` of its own.
    let hash = git(&["rev-parse", "HEAD"]).filter(|_| Path::new(".git").exists());
    let Some(hash) = hash else {
        return "unknown".to_owned();
    };
    for file in ["HEAD", "logs/HEAD"] {
        if let Some(path) = git(&["rev-parse", "--git-path", file]) {
            println!("cargo:rerun-if-changed={}", path.trim());
        }
    }
    let sources = ["src", "build.rs", "Cargo.toml", "Cargo.lock"];
    for path in sources {
        println!("cargo:rerun-if-changed={path}");
    }
    let changed = git(&[&["status", "--porcelain", "--"][..], &sources].concat());
    let is_clean = changed.is_some_and(|lines| lines.trim().is_empty());
    let suffix = if is_clean { "" } else { " with changes" };
    format!("{}{suffix}", digits(&hash))
}

/// Returns the output of a git command that succeeds.
fn git(arguments: &[&str]) -> Option<String> {
    let ran = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8(ran.stdout).ok()?;
    ran.status.success().then_some(text)
}
