//! A log that has several names, a directory that gets another one: nobody else's log is written to, or replaced. And
//! whose it is, and who may read it.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;

use crate::helpers::{self, Exit, Launch, Server, skip};

fn aof(args: &[&str], log: &Path) -> Exit {
    Exit::of(Launch::binary().arg("aof").args(args).arg(log).output().unwrap())
}

fn rewrite(server: &Server) {
    assert!(helpers::rewrite(&mut server.connect()), "{}", server.stderr());
}

fn is_link(path: &Path) -> bool {
    path.symlink_metadata().unwrap().is_symlink()
}

#[test]
fn a_log_in_use_is_in_use_by_any_name() {
    let server = Server::start_with(&["--fsync", "always"]);
    let mut client = server.connect();
    client.set("k", "v");
    let log = server.launch().log_path();
    for hard in [false, true] {
        let other = Launch::new();
        if hard { fs::hard_link(&log, other.log_path()) } else { symlink(&log, other.log_path()) }.unwrap();
        other.refused().expect(3, &["in use by another kvred"]);
        aof(&["check", "--fix", "--yes"], &other.log_path()).expect(3, &["in use by"]);
        aof(&["rewrite"], &other.log_path()).expect(3, &["in use by"]);
        aof(&["check"], &other.log_path()).expect(0, &[]);
        client.set("l", "w");
    }
    let server = server.crash_and_restart();
    let mut client = server.connect();
    assert_eq!((client.get("k"), client.get("l")), (Some(b"v".to_vec()), Some(b"w".to_vec())));
}

#[test]
fn a_linked_log_is_rewritten_where_it_is() {
    let (there, here) = (Launch::new(), Launch::new());
    fs::create_dir(here.dir().join("data")).unwrap();
    let log = there.dir().join("elsewhere.aof");
    fs::write(&log, "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nv\r\n".repeat(100)).unwrap();
    // A link to a link, one of them relative.
    symlink(&log, here.dir().join("data/link")).unwrap();
    symlink("data/link", here.log_path()).unwrap();
    aof(&["rewrite"], &here.log_path()).expect(0, &[]);
    assert!(is_link(&here.log_path()) && fs::read(&log).unwrap().starts_with(b"#KVRED"));
    let server = here.start();
    let mut client = server.connect();
    (0..100).for_each(|n| client.set("k", n.to_string()));
    let before = log.metadata().unwrap();
    rewrite(&server);
    assert!(is_link(&here.log_path()));
    let now = log.metadata().unwrap();
    assert!(now.ino() != before.ino() && now.len() < before.len());
    assert_eq!(server.crash_and_restart().connect().get("k"), Some(b"99".to_vec()));
    assert!(!here.dir().join("kvred.aof.lock").exists() && there.dir().join("elsewhere.aof.lock").exists());
}

#[test]
fn a_link_that_leads_nowhere_begins_no_log() {
    let launch = Launch::new();
    symlink("/not/mounted/kvred.aof", launch.log_path()).unwrap();
    launch.refused().expect(3, &["/not/mounted/kvred.aof", "where nothing is"]);
    assert!(is_link(&launch.log_path()));
    assert_eq!(fs::read_dir(launch.dir()).unwrap().count(), 1, "nothing was made");
}

#[test]
fn a_server_whose_directory_was_moved_stays_in_it() {
    let root = tempfile::tempdir().unwrap();
    let (dir, moved) = (root.path().join("data"), root.path().join("moved"));
    fs::create_dir(&dir).unwrap();
    let first = Launch::at(&dir).start();
    first.connect().set("whose", "first");
    fs::rename(&dir, &moved).unwrap();
    fs::create_dir(&dir).unwrap();
    let second = Launch::at(&dir).start();
    second.connect().set("whose", "second");
    rewrite(&first);
    first.connect().set("more", "first");
    rewrite(&second);
    first.kill9();
    second.kill9();
    for (dir, whose) in [(&dir, "second"), (&moved, "first")] {
        assert_eq!(Launch::at(dir).start().connect().get("whose"), Some(whose.into()), "{}", dir.display());
    }
    assert_eq!(Launch::at(&moved).start().connect().get("more"), Some(b"first".to_vec()));
}

#[test]
fn a_tool_of_root_leaves_a_lock_that_the_log_s_owner_can_take() {
    const OWNER: u32 = 65534;
    if !rustix::process::geteuid().is_root() {
        return skip("only root can give files to others");
    }
    let launch = Launch::on_log("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nv\r\n");
    std::os::unix::fs::chown(launch.log_path(), Some(OWNER), Some(OWNER)).unwrap();
    aof(&["rewrite"], &launch.log_path()).expect(0, &[]);
    for name in ["kvred.aof", "kvred.aof.lock"] {
        let owner = launch.dir().join(name).metadata().unwrap();
        assert_eq!((owner.uid(), owner.gid()), (OWNER, OWNER), "{name}");
    }
}

/// The directory is the server's user's; who comes next may be root.
#[test]
fn what_stands_in_the_lock_s_place_is_refused_and_stays_as_it_is() {
    const OWNER: u32 = 65534;
    let is_root = rustix::process::geteuid().is_root();
    let (launch, elsewhere) = (Launch::on_log("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nv\r\n"), Launch::new());
    let (lock, out) = (launch.dir().join("kvred.aof.lock"), launch.dir().join("out.aof"));
    if is_root {
        std::os::unix::fs::chown(launch.log_path(), Some(OWNER), Some(OWNER)).unwrap();
    }
    let (target, nowhere) = (elsewhere.dir().join("target"), elsewhere.dir().join("nowhere"));
    fs::write(&target, "somebody's").unwrap();
    let before = target.metadata().unwrap();
    for (at, why) in
        [(Some(&target), "a symbolic link"), (Some(&nowhere), "a symbolic link"), (None, "no regular file")]
    {
        match at {
            Some(at) => symlink(at, &lock).unwrap(),
            None => {
                let (kind, mode) = (rustix::fs::FileType::Fifo, 0o600.into());
                rustix::fs::mknodat(rustix::fs::CWD, &lock, kind, mode, 0).unwrap();
            }
        }
        launch.refused().expect(3, &["cannot take the lock", why]);
        for args in [&["check", "--fix", "--yes"][..], &["rewrite"], &["rewrite", "-o", out.to_str().unwrap()]] {
            aof(args, &launch.log_path()).expect(3, &["the lock of", why]);
        }
        fs::remove_file(&lock).unwrap();
    }
    let now = target.metadata().unwrap();
    assert_eq!(
        (now.uid(), now.gid(), now.mode(), now.len()),
        (before.uid(), before.gid(), before.mode(), before.len())
    );
    assert!(!nowhere.exists() && !out.exists());
    // A lock that is there is taken as it is: the name may be that of anybody's file.
    fs::write(&lock, "").unwrap();
    let before = lock.metadata().unwrap();
    aof(&["rewrite"], &launch.log_path()).expect(0, &[]);
    assert_eq!(lock.metadata().unwrap().uid(), before.uid());
}

/// It would be written to: what is cut off a torn log is kept there.
#[test]
fn a_link_in_the_place_of_what_is_cut_is_not_followed() {
    let sound = "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nv\r\n";
    let torn = format!("{sound}*3\r\n$3\r\nSET\r\n$1\r\nl\r\n$9\r\nsomething");
    let (launch, elsewhere) = (Launch::on_log(&torn), Launch::new());
    let target = elsewhere.dir().join("empty");
    fs::write(&target, "").unwrap();
    symlink(&target, launch.dir().join(format!("kvred.aof.cut-{}", sound.len()))).unwrap();
    launch.refused().expect(3, &["what is cut cannot be kept"]);
    aof(&["check", "--fix", "--yes"], &launch.log_path())
        .expect(3, &["what is cut cannot be kept, so nothing was cut"]);
    assert_eq!((fs::read(&target).unwrap().len(), launch.log()), (0, torn.into_bytes()));
}

/// Only the owner can read what is stored.
#[test]
fn the_log_and_its_directory_are_the_owners_alone() {
    let launch = Launch::new();
    let dir = launch.dir().join("made");
    let server = launch.args(&["--dir", dir.to_str().unwrap()]).start();
    let mut client = server.connect();
    client.set("k", "v");
    assert!(helpers::rewrite(&mut client));
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&dir), 0o700);
    for entry in fs::read_dir(&dir).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(mode(&path), 0o600, "{}", path.display());
    }
}

/// A group may have been given the right to read it, for backups.
#[test]
fn a_rewritten_log_keeps_its_group_and_mode() {
    const GROUP: u32 = 65534;
    let launch = Launch::new();
    let server = launch.start();
    server.connect().set("k", "v");
    let group = rustix::process::geteuid().is_root().then_some(GROUP);
    std::os::unix::fs::chown(launch.log_path(), None, group).unwrap();
    fs::set_permissions(launch.log_path(), fs::Permissions::from_mode(0o640)).unwrap();
    let before = launch.log_path().metadata().unwrap();
    let assert_kept = |how: &str| {
        let now = launch.log_path().metadata().unwrap();
        assert_eq!((now.uid(), now.gid(), now.mode()), (before.uid(), before.gid(), before.mode()), "{how}");
    };
    rewrite(&server);
    assert_kept("by the server");
    server.kill9();
    aof(&["rewrite"], &launch.log_path()).expect(0, &[]);
    assert_kept("by the tool");
}

#[test]
fn a_log_that_a_link_has_replaced_is_rewritten_with_its_own_mode() {
    let server = Server::start();
    server.connect().set("k", "v");
    let log = server.launch().log_path();
    let moved = log.with_file_name("moved");
    fs::rename(&log, &moved).unwrap();
    symlink(&moved, &log).unwrap();
    rewrite(&server);
    let now = log.symlink_metadata().unwrap();
    assert!(now.is_file());
    assert_eq!(now.mode() & 0o777, 0o600);
}
