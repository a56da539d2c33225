//! The texts of `-V` and `--version`.

/// Returns the text of `--version`: the version, and below it what the program was built from, for
/// reports of problems.
pub fn details() -> String {
    let rows = [
        ("commit", env!("BUILD_COMMIT").to_owned()),
        ("target", env!("BUILD_TARGET").to_owned()),
        ("features", features()),
        ("SQLite", rusqlite::version().to_owned()),
        ("libusb", libusb()),
    ];
    let rows = rows.map(|(name, value)| format!("\n  {name:<10}{value}"));
    format!("{}{}", env!("CARGO_PKG_VERSION"), rows.concat())
}

/// Returns the optional features of the build.
fn features() -> String {
    let all = [
        ("keyring", cfg!(feature = "keyring")),
        ("network", cfg!(feature = "network")),
        ("usb", cfg!(feature = "usb")),
        ("web", cfg!(feature = "web")),
    ];
    let built: Vec<&str> = all.iter().filter(|f| f.1).map(|f| f.0).collect();
    match &built[..] {
        [] => "none".to_owned(),
        built => built.join(", "),
    }
}

#[cfg(all(feature = "usb", not(target_os = "macos")))]
fn libusb() -> String {
    let version = rusb::version();
    let (major, minor, micro) = (version.major(), version.minor(), version.micro());
    format!("{major}.{minor}.{micro}")
}

#[cfg(not(all(feature = "usb", not(target_os = "macos"))))]
fn libusb() -> String {
    "not built in".to_owned()
}
