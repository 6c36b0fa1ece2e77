//! The Debian package: built, installed, used, removed and purged, in a copy of the file system that vanishes.
//!
//! It takes a whole build with the profile of packages, some minutes, so only `KVRED_TEST_DEB=1` runs it.

use std::process::Command;

use crate::{helpers, run, source};

#[test]
fn package_is_installed_used_removed_and_purged() {
    if std::env::var_os("KVRED_TEST_DEB").is_none() {
        return helpers::skip("the package takes minutes to build; KVRED_TEST_DEB=1 tests it");
    }
    if !rustix::process::geteuid().is_root() {
        return helpers::skip("only root can mount the copy of the file system into which the package goes");
    }
    let home = std::env::var("HOME").unwrap();
    let path = format!("{home}/.cache/kvred-tools/bin:{}", std::env::var("PATH").unwrap());
    let Ok(version) = Command::new("cargo").args(["deb", "--version"]).env("PATH", &path).output() else {
        return helpers::skip("cargo is not in the path");
    };
    if !version.status.success() {
        return helpers::skip("cargo-deb is not installed; .ci/install-test-tools installs it");
    }
    let mut build = Command::new("cargo");
    build.args(["deb", "--locked", "--quiet"]).current_dir(source("")).env("PATH", &path);
    let built = String::from_utf8(run(&mut build).stdout).unwrap();
    let tried = run(Command::new(source("dist/deb/try.sh")).arg(built.trim()));
    let said = String::from_utf8(tried.stdout).unwrap();
    for stage in ["installed", "used", "removed", "purged"] {
        assert!(said.lines().any(|line| line == stage), "{stage}: {said}");
    }
}
