//! The Debian package: installed, used, upgraded, removed, installed again and purged, under a systemd of its own in a
//! copy of the file system that vanishes (`dist/deb/try.sh`).
//!
//! It is built without optimisation, since it is the package that is tested, and not the binary: a minute all the same,
//! so only `KVRED_TEST_DEB=1`, which `.ci/run` sets, runs it.

use std::path::Path;
use std::process::Command;

use crate::helpers::skip;
use crate::{has, run, source};

/// Builds the package with this version.
fn build(version: &str, package: &Path, path: &str) {
    let mut build = Command::new("cargo");
    build.args(["deb", "--locked", "--quiet", "--fast", "--deb-version", version, "--output"]).arg(package);
    build.current_dir(source("")).env("PATH", path).env("CARGO_TARGET_DIR", source("target/package-test"));
    for (setting, value) in [("LTO", "off"), ("OPT_LEVEL", "0"), ("CODEGEN_UNITS", "16"), ("DEBUG", "0")] {
        build.env(format!("CARGO_PROFILE_DIST_{setting}"), value);
    }
    run(&mut build);
}

#[test]
fn package_is_installed_used_upgraded_removed_installed_again_and_purged() {
    if std::env::var_os("KVRED_TEST_DEB").is_none() {
        return skip("the package takes a minute to build; KVRED_TEST_DEB=1 tests it");
    }
    if !rustix::process::geteuid().is_root() {
        return skip("only root can mount the copy of the file system into which the package goes");
    }
    if !has("systemd-nspawn") {
        return;
    }
    let home = std::env::var("HOME").unwrap();
    let path = format!("{home}/.cache/kvred-tools/bin:{}", std::env::var("PATH").unwrap());
    if !Command::new("cargo").args(["deb", "--version"]).env("PATH", &path).output().unwrap().status.success() {
        return skip("cargo-deb is not installed; .ci/install-test-tools installs it");
    }
    let dir = tempfile::tempdir().unwrap();
    let [old, new] = ["0.0.1-1", "0.0.1-2"].map(|version| {
        let package = dir.path().join(format!("{version}.deb"));
        build(version, &package, &path);
        package
    });
    let tried = Command::new(source("dist/deb/try.sh")).args([old, new]).output().unwrap();
    let said = String::from_utf8_lossy(&tried.stdout);
    if tried.status.code() == Some(77) {
        return skip(&format!("no systemd can be booted here: {said}"));
    }
    for stage in ["installed", "used", "upgraded", "removed", "installed-again", "not-started", "purged", "by-hand"] {
        assert!(said.lines().any(|line| line == stage), "{stage}: {said}{}", String::from_utf8_lossy(&tried.stderr));
    }
    assert!(tried.status.success(), "{said}");
}
