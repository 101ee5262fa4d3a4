//! Data sets that have a name: the embedded one, and those that a package installs.

use std::path::{Path, PathBuf};

use super::bytes::ByteStream;
use super::idx::IdxStream;
use super::{DataError, Split};

/// The name of the embedded set.
pub const FASHION_MNIST_SMALL: &str = "fashion-mnist-small";
/// The name of the full set of 70,000 images.
pub const FASHION_MNIST: &str = "fashion-mnist";

/// A folder of data sets, each in a folder that has its name.
const ROOT_VARIABLE: &str = "RESMCU_DATASETS";
/// Where Debian's `dataset-*` packages put theirs.
const DEBIAN_ROOT: &str = "/usr/share/datasets";

/// Fashion-MNIST's classes, by label.
const FASHION_CLASSES: [&str; 10] = [
    "t-shirt/top",
    "trouser",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "sneaker",
    "bag",
    "ankle boot",
];

const TRAIN_IMAGES: &[u8] =
    include_bytes!("../../data/fashion-mnist-small/train-images-idx3-ubyte.gz");
const TRAIN_LABELS: &[u8] =
    include_bytes!("../../data/fashion-mnist-small/train-labels-idx1-ubyte.gz");
const TEST_IMAGES: &[u8] =
    include_bytes!("../../data/fashion-mnist-small/t10k-images-idx3-ubyte.gz");
const TEST_LABELS: &[u8] =
    include_bytes!("../../data/fashion-mnist-small/t10k-labels-idx1-ubyte.gz");

/// A data set that can be asked for by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NamedSet {
    /// Its name.
    pub name: &'static str,
    /// What it holds, in a line.
    pub about: &'static str,
    /// Its licence and where it comes from.
    pub licence: &'static str,
    /// How to get it.
    pub help: &'static str,
}

const SETS: [NamedSet; 2] = [
    NamedSet {
        name: FASHION_MNIST_SMALL,
        about: "5,000 + 1,000 grey images of clothes, 28x28, 10 classes",
        licence: "MIT, Zalando SE: the first images of each class of Fashion-MNIST",
        help: "part of this program",
    },
    NamedSet {
        name: FASHION_MNIST,
        about: "60,000 + 10,000 grey images of clothes, 28x28, 10 classes",
        licence: "MIT, Zalando SE",
        help: "on Debian and Ubuntu `sudo apt-get install dataset-fashion-mnist`; elsewhere put \
               its four IDX files in a folder `fashion-mnist`, and name the folder above that in \
               the environment variable RESMCU_DATASETS",
    },
];

/// All sets that have a name, whether they are on this machine or not.
#[must_use]
pub fn named_sets() -> &'static [NamedSet] {
    &SETS
}

/// Folders where named sets are looked for, first ones first.
pub(super) fn roots() -> Vec<PathBuf> {
    let chosen = std::env::var_os(ROOT_VARIABLE).filter(|v| !v.is_empty()).map(PathBuf::from);
    chosen.into_iter().chain([PathBuf::from(DEBIAN_ROOT)]).collect()
}

/// The folder of a named set under one of `roots`.
pub(super) fn find_folder(name: &str, roots: &[PathBuf]) -> Option<PathBuf> {
    roots.iter().map(|root| root.join(name)).find(|folder| folder.is_dir())
}

/// Why a named set that is in no root cannot be opened.
pub(super) fn not_installed(set: &NamedSet, roots: &[PathBuf]) -> DataError {
    let looked = roots.iter().map(|root| root.join(set.name)).collect();
    DataError::NotInstalled { name: set.name, looked, help: set.help }
}

/// Class names that a folder of IDX files does not hold, known by the folder's name.
pub(super) fn class_names_of_folder(folder: &Path) -> Option<Vec<String>> {
    let known = folder.file_name()? == FASHION_MNIST;
    known.then(|| FASHION_CLASSES.map(str::to_owned).to_vec())
}

/// Opens a split of the embedded set.
pub(super) fn open_embedded(split: Split) -> Result<IdxStream, DataError> {
    let (images, labels) = match split {
        Split::Train => (TRAIN_IMAGES, TRAIN_LABELS),
        Split::Validation | Split::Test => (TEST_IMAGES, TEST_LABELS),
    };
    IdxStream::new(
        FASHION_MNIST_SMALL,
        split,
        ByteStream::from_memory(images, "the embedded images")?,
        ByteStream::from_memory(labels, "the embedded labels")?,
        Some(FASHION_CLASSES.map(str::to_owned).to_vec()),
        0,
    )
}
