//! The folder of one controller: where everything in it lies.
//!
//! In: a path. Out: an opened, checked [`Home`] and the paths inside. Not here: what the files say.
//! The surprise: a home is known by a random id *and* its device and inode, so a copied home owns no process.

use std::fmt;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::engine::{InstanceId, ObjectRef};

/// The longest path of a socket inside the home, in bytes; `sun_path` has 108.
pub const SOCKET_PATH_MAX: usize = 100;

const SECRET_BYTES: usize = 32;

/// Why a home cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum HomeError {
    /// Nothing says where it is.
    #[error(
        "no home folder: --home, $SETPOINT_HOME, $XDG_STATE_HOME and $HOME are all unset\n  \
         help: give one with --home DIR"
    )]
    NoPlace,
    /// It could not be made.
    #[error(
        "the home {path} cannot be created: {source}\n  \
         help: create it yourself (mkdir -m 700), or give another with --home DIR"
    )]
    Create {
        /// The folder.
        path: PathBuf,
        /// The system's words.
        source: io::Error,
    },
    /// It is something else.
    #[error("the home {path} is not a folder\n  help: give a folder with --home DIR")]
    NotAFolder {
        /// What it is called.
        path: PathBuf,
    },
    /// It belongs to another user.
    #[error(
        "the home {path} belongs to uid {owner}, and this is uid {caller}\n  \
         help: run as that user, or give your own with --home DIR"
    )]
    NotOwned {
        /// The folder.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
        /// Who asks.
        caller: u32,
    },
    /// Others can look into it or write to it.
    #[error("the home {path} is open to other users (mode {mode:04o})\n  help: chmod 700 {path}")]
    Exposed {
        /// The folder.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Others can, and it is somebody's folder but no home: `/tmp`, say. Closing that would break the machine.
    #[error(
        "{path} is open to other users (mode {mode:04o}), and it is not a home: other things are in it\n  \
         help: give a folder of its own with --home DIR; it is made when it is not there"
    )]
    Foreign {
        /// The folder.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Locks and renames there are not what they are on a local disk.
    #[error(
        "the home {path} lies on {filesystem}, where locks do not hold\n  \
         help: give a folder on a local disk with --home DIR"
    )]
    Remote {
        /// The folder.
        path: PathBuf,
        /// The kind of file system.
        filesystem: &'static str,
    },
    /// A file that names the home or keys its revisions is gone, and other files are not.
    #[error(
        "the home {path} has lost its file `{file}`; with a new one nothing that runs would be recognised\n  \
         help: put the file back, or move the folder away and start afresh; what runs is left alone"
    )]
    Lost {
        /// The folder.
        path: PathBuf,
        /// Which file.
        file: &'static str,
    },
    /// Such a file does not hold what it should.
    #[error("{path} is damaged: it should hold 64 hex digits\n  help: put the old file back; what runs is left alone")]
    Damaged {
        /// The file.
        path: PathBuf,
    },
    /// The system said no.
    #[error("{path}: cannot {action}: {source}\n  help: check that the disk is there, writable and not full")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// The system's words.
        source: io::Error,
    },
    /// No folder for a socket can be trusted.
    #[error(
        "the home path {path} is too long for a socket, and no private folder for it could be made: {why}\n  \
         help: use a home with a shorter path, or set XDG_RUNTIME_DIR"
    )]
    NoSocketFolder {
        /// The home.
        path: PathBuf,
        /// What was wrong with the last folder that was tried.
        why: String,
    },
}

/// The secret that revisions are hashed with. It is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Key(Arc<[u8]>);

impl Key {
    /// A key of these bytes.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Key {
        Key(Arc::from(bytes))
    }

    /// The bytes, for hashing.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

/// An opened home.
#[derive(Clone, Debug)]
pub struct Home {
    root: PathBuf,
    id: String,
    key: Key,
}

impl Home {
    /// Opens the home, and makes it when there is none: `path`, else `$SETPOINT_HOME`, else `$XDG_STATE_HOME/setpoint`,
    /// else `~/.local/state/setpoint`.
    ///
    /// # Errors
    /// When it is not a private folder of the caller on a local disk, or cannot be made.
    pub fn open(path: Option<&Path>) -> Result<Home, HomeError> {
        let path = place(path)?;
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&path)
            .or_else(|source| match source.kind() {
                // The checks below say what it is instead.
                io::ErrorKind::AlreadyExists => Ok(()),
                _ => Err(source),
            })
            .map_err(|source| HomeError::Create { path: path.clone(), source })?;
        let root = checked(&path)?;
        let random = read_secret(&root, "id").transpose().unwrap_or_else(|| make_secret(&root, "id", "records"))?;
        let key = read_secret(&root, "key").transpose().unwrap_or_else(|| make_secret(&root, "key", "desired"))?;
        Home::assemble(root, &random, &key)
    }

    /// Opens a home only to read from it. `None` when there is none yet, which reads as an empty one.
    ///
    /// # Errors
    /// As [`Home::open`]; a home on a read-only disk is fine here.
    pub fn open_existing(path: Option<&Path>) -> Result<Option<Home>, HomeError> {
        let path = place(path)?;
        match path.symlink_metadata() {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(HomeError::Io { path, action: "look at it", source }),
        }
        let root = checked(&path)?;
        match (read_secret(&root, "id")?, read_secret(&root, "key")?) {
            (Some(random), Some(key)) => Home::assemble(root, &random, &key).map(Some),
            (None, _) if has_entries(&root.join("records")) => Err(HomeError::Lost { path: root, file: "id" }),
            (_, None) if has_entries(&root.join("desired")) => Err(HomeError::Lost { path: root, file: "key" }),
            (None, _) | (_, None) => Ok(None),
        }
    }

    fn assemble(root: PathBuf, random: &[u8], key: &[u8]) -> Result<Home, HomeError> {
        let meta =
            root.metadata().map_err(|source| HomeError::Io { path: root.clone(), action: "look at it", source })?;
        let mut hash = Sha256::new();
        hash.update(random);
        hash.update(meta.dev().to_be_bytes());
        hash.update(meta.ino().to_be_bytes());
        let id = hex(&hash.finalize()[..8]);
        Ok(Home { root, id, key: Key::new(key) })
    }

    /// The folder itself, absolute, symlinks resolved.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }
    /// Names this home in argv and markers: 16 hex digits.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }
    /// What revisions are hashed with.
    #[must_use]
    pub fn key(&self) -> &Key {
        &self.key
    }
    /// `records/KIND/NAME/CAUSE`: the folder of one instance, with `lock`, `policy` and one `NNNNNNNN.attempt` each.
    #[must_use]
    pub fn records(&self, id: &InstanceId) -> PathBuf {
        self.records_of(&id.object).join(id.cause.to_string())
    }
    /// `records/KIND/NAME`: one folder per instance of an object.
    #[must_use]
    pub fn records_of(&self, object: &ObjectRef) -> PathBuf {
        self.root.join("records").join(object.as_str())
    }
    /// `logs/KIND/NAME`: the folder of the log files of an object, `CAUSE.NNNNNN.log` each.
    #[must_use]
    pub fn logs(&self, object: &ObjectRef) -> PathBuf {
        self.root.join("logs").join(object.as_str())
    }
    /// `desired`: the generations of the desired state, `NNNNNNNNNN.json` each.
    #[must_use]
    pub fn desired(&self) -> PathBuf {
        self.root.join("desired")
    }
    /// `desired.lock`: held while a generation is planned and written.
    #[must_use]
    pub fn desired_lock(&self) -> PathBuf {
        self.root.join("desired.lock")
    }
    /// `controller.lock`: held by the one controller for life.
    #[must_use]
    pub fn controller_lock(&self) -> PathBuf {
        self.root.join("controller.lock")
    }
    /// `controller.pid`: for people and scripts; never trusted.
    #[must_use]
    pub fn controller_pid(&self) -> PathBuf {
        self.root.join("controller.pid")
    }
    /// `heartbeat`: when the controller last completed a pass.
    #[must_use]
    pub fn heartbeat(&self) -> PathBuf {
        self.root.join("heartbeat")
    }
    /// `state.json`: what the controller last saw.
    #[must_use]
    pub fn state_json(&self) -> PathBuf {
        self.root.join("state.json")
    }
    /// `controller.log`: the controller's own words while it runs in the background.
    #[must_use]
    pub fn controller_log(&self) -> PathBuf {
        self.root.join("controller.log")
    }
    /// `events`: append-only files of what happened.
    #[must_use]
    pub fn events(&self) -> PathBuf {
        self.root.join("events")
    }
    /// `store.db`: runs, due times, cursors of schedules, events; a SQLite database.
    #[must_use]
    pub fn store_db(&self) -> PathBuf {
        self.root.join("store.db")
    }
    /// `requests`: lifecycle requests that are not carried out yet.
    #[must_use]
    pub fn requests(&self) -> PathBuf {
        self.root.join("requests")
    }
    /// `sources`: how far each service that is asked for messages was read.
    #[must_use]
    pub fn sources(&self) -> PathBuf {
        self.root.join("sources")
    }
    /// `jobs`: the live folder of the user layer.
    #[must_use]
    pub fn jobs(&self) -> PathBuf {
        self.root.join("jobs")
    }

    /// Where the controller listens: `controller.sock`, or a private runtime folder when that path is too long.
    ///
    /// # Errors
    /// When no runtime folder is there that only the caller can write to.
    pub fn socket(&self) -> Result<PathBuf, HomeError> {
        self.socket_at(self.root.join("controller.sock"), format!("{}.sock", self.id))
    }

    /// Where the shim of an instance listens for those who type into it: `io.sock` beside its records, or as above.
    ///
    /// # Errors
    /// As [`Home::socket`].
    pub fn io_socket(&self, id: &InstanceId) -> Result<PathBuf, HomeError> {
        let hash = Sha256::digest(id.to_string());
        self.socket_at(self.records(id).join("io.sock"), format!("{}-{}.sock", self.id, hex(&hash[..8])))
    }

    /// Runtime folders are `$XDG_RUNTIME_DIR/setpoint`, `/run/user/UID/setpoint` and `/tmp/setpoint-UID`; one that
    /// already holds the socket wins, so that a client with another environment finds the same one.
    fn socket_at(&self, inside: PathBuf, name: String) -> Result<PathBuf, HomeError> {
        if inside.as_os_str().len() <= SOCKET_PATH_MAX {
            return Ok(inside);
        }
        let uid = rustix::process::geteuid().as_raw();
        let given = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|dir| dir.is_absolute());
        let run = PathBuf::from(format!("/run/user/{uid}"));
        let bases = given.into_iter().chain([run]).filter(|base| base.is_dir()).map(|base| base.join("setpoint"));
        let fallback = PathBuf::from(format!("/tmp/setpoint-{uid}"));
        let folders: Vec<PathBuf> =
            bases.chain([fallback]).filter(|dir| dir.as_os_str().len() + name.len() < SOCKET_PATH_MAX).collect();
        if let Some(found) = folders.iter().find(|dir| is_private(dir).is_ok() && dir.join(&name).exists()) {
            return Ok(found.join(&name));
        }
        let mut why = String::from("no runtime folder");
        for folder in folders {
            match make_private(&folder) {
                Ok(()) => return Ok(folder.join(&name)),
                Err(error) => why = format!("{}: {error}", folder.display()),
            }
        }
        Err(HomeError::NoSocketFolder { path: self.root.clone(), why })
    }
}

/// Where the home should be: `flag`, else as [`Home::open`] says. It is not looked at.
///
/// # Errors
/// When nothing says where it is.
pub fn place(flag: Option<&Path>) -> Result<PathBuf, HomeError> {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let path = flag
        .map(Path::to_path_buf)
        .or_else(|| variable("SETPOINT_HOME"))
        .or_else(|| variable("XDG_STATE_HOME").filter(|dir| dir.is_absolute()).map(|dir| dir.join("setpoint")))
        .or_else(|| variable("HOME").map(|dir| dir.join(".local/state/setpoint")))
        .ok_or(HomeError::NoPlace)?;
    std::path::absolute(&path).map_err(|source| HomeError::Io { path, action: "make the path absolute", source })
}

/// The folder with symlinks resolved, when it is fit to be a home.
fn checked(path: &Path) -> Result<PathBuf, HomeError> {
    let io = |action| move |source| HomeError::Io { path: path.to_path_buf(), action, source };
    let root = path.canonicalize().map_err(io("resolve it"))?;
    let meta = root.metadata().map_err(io("look at it"))?;
    let caller = rustix::process::geteuid().as_raw();
    if !meta.is_dir() {
        return Err(HomeError::NotAFolder { path: root });
    }
    if meta.uid() != caller {
        return Err(HomeError::NotOwned { path: root, owner: meta.uid(), caller });
    }
    if meta.mode() & 0o077 != 0 {
        let (is_home, mode) = (root.join("id").exists() || !has_entries(&root), meta.mode() & 0o7777);
        return Err(match is_home {
            true => HomeError::Exposed { path: root, mode },
            false => HomeError::Foreign { path: root, mode },
        });
    }
    let disk = rustix::fs::statfs(&root).map_err(|errno| io("look at its file system")(errno.into()))?;
    // The kernel's numbers are 32 bits wide, whatever the width of the field is here.
    match remote_filesystem((disk.f_type as u64 & 0xffff_ffff) as u32) {
        Some(filesystem) => Err(HomeError::Remote { path: root, filesystem }),
        None => Ok(root),
    }
}

/// The name of a file system on which a home is refused, by its `statfs` number.
#[must_use]
pub fn remote_filesystem(magic: u32) -> Option<&'static str> {
    match magic {
        0x6969 => Some("NFS"),
        0xff53_4d42 | 0x517b | 0xfe53_4d42 => Some("CIFS"),
        0x0102_1997 => Some("9p"),
        0x6573_5546 => Some("FUSE"),
        _ => None,
    }
}

/// The bytes of a secret file; `None` when there is none.
fn read_secret(root: &Path, file: &'static str) -> Result<Option<Vec<u8>>, HomeError> {
    let path = root.join(file);
    match std::fs::read_to_string(&path) {
        Ok(text) => unhex(text.trim_end()).map(Some).ok_or(HomeError::Damaged { path }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => Err(HomeError::Damaged { path }),
        Err(source) => Err(HomeError::Io { path, action: "read it", source }),
    }
}

/// Draws a secret and stores it, unless somebody was faster: then theirs counts.
fn make_secret(root: &Path, file: &'static str, witness: &str) -> Result<Vec<u8>, HomeError> {
    if has_entries(&root.join(witness)) {
        // Another opener may have stored it since it was looked for, and gone on to make the witness.
        let lost = || HomeError::Lost { path: root.to_path_buf(), file };
        return read_secret(root, file)?.ok_or_else(lost);
    }
    let path = root.join(file);
    let failed = |source| HomeError::Io { path: path.clone(), action: "create it", source };
    let text = random_hex(SECRET_BYTES).map_err(failed)?;
    let draft = root.join(format!(".{file}.{}", random_hex(8).map_err(failed)?));
    let stored = write_new(&draft, text.as_bytes()).and_then(|()| std::fs::hard_link(&draft, &path));
    // The draft has served whether or not the link could be made; a left one would harm nobody.
    let _ = std::fs::remove_file(&draft);
    match stored {
        Ok(()) => sync_folder(root).map_err(failed)?,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(source) => return Err(failed(source)),
    }
    read_secret(root, file)?.ok_or_else(|| HomeError::Lost { path: root.to_path_buf(), file })
}

/// Writes a new private file and waits until the disk has it.
///
/// # Errors
/// What the system says, also when the file exists.
pub fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Waits until the disk has the names of a folder.
///
/// # Errors
/// What the system says.
pub fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// `count` random bytes in lower-case hex.
///
/// # Errors
/// When the system has no randomness to give.
pub fn random_hex(count: usize) -> io::Result<String> {
    let mut bytes = vec![0; count];
    getrandom::fill(&mut bytes).map_err(|error| io::Error::other(error.to_string()))?;
    Ok(hex(&bytes))
}

/// Bytes in lower-case hex.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let is_plain = text.len() == 2 * SECRET_BYTES && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_plain.then(|| (0..SECRET_BYTES).map_while(|i| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).ok()).collect())
}

fn has_entries(folder: &Path) -> bool {
    std::fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some())
}

fn make_private(folder: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(folder) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => is_private(folder),
        Err(error) => Err(error),
    }
}

/// In a folder that others may write to, a name may be theirs: only a real folder of our own will do.
fn is_private(folder: &Path) -> io::Result<()> {
    let meta = folder.symlink_metadata()?;
    let is_ours = meta.is_dir() && meta.uid() == rustix::process::geteuid().as_raw() && meta.mode() & 0o077 == 0;
    if is_ours { Ok(()) } else { Err(io::Error::other("it is not a folder that only this user can enter")) }
}
