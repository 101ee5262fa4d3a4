//! What a path or a name means: recognizes data sets by content, opens their splits.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use super::bytes::ByteStream;
use super::cifar::{self, CifarStream};
use super::folder;
use super::idx::{self, IdxStream};
use super::named;
use super::survey::{self, Survey};
use super::{DataError, Dataset, ReadOptions, SampleStream, Split};

/// A data set that was found: its files are known, none of its images is read.
#[derive(Clone, Debug)]
pub struct Source {
    name: String,
    kind: Kind,
    options: ReadOptions,
}

#[derive(Clone, Debug)]
enum Kind {
    Embedded,
    Cifar { train: Vec<PathBuf>, test: Vec<PathBuf> },
    Idx { train: Option<Pair>, test: Option<Pair>, class_names: Option<Vec<String>> },
    Folder { roots: Vec<(Split, PathBuf)>, class_names: Vec<String> },
}

#[derive(Clone, Debug)]
struct Pair {
    images: PathBuf,
    labels: PathBuf,
}

/// The folders of the splits in a folder of images.
const FOLDERS: [(Split, &[&str]); 3] = [
    (Split::Train, &["train"]),
    (Split::Validation, &["val", "validation"]),
    (Split::Test, &["test"]),
];

impl Source {
    /// Finds a data set by the name of a known one, or by a path: a CIFAR-10 binary file or a
    /// folder of such, an IDX file (its partner beside it) or a folder of such, two IDX files as
    /// `IMAGES,LABELS`, or a folder of images: a folder a class, all of them in `train`, `val` (or
    /// `validation`) and `test` where these are told apart. A lone file is a test split when its
    /// name begins with `test` or `t10k`, else a training split.
    ///
    /// # Errors
    /// When there is nothing, or nothing known, at that path.
    pub fn find(spec: &str) -> Result<Self, DataError> {
        Self::find_in(spec, &named::roots())
    }

    fn find_in(spec: &str, roots: &[PathBuf]) -> Result<Self, DataError> {
        let path = Path::new(spec);
        if spec == named::FASHION_MNIST_SMALL {
            return Ok(Self::new(spec.to_owned(), Kind::Embedded));
        }
        let known = named::named_sets().iter().find(|set| set.name == spec);
        if let Some(folder) = named::find_folder(spec, roots).filter(|_| is_plain_name(spec))
            && (known.is_some() || !path.exists())
        {
            return recognize_folder(&folder);
        }
        if let Some(set) = known {
            return Err(named::not_installed(set, roots));
        }
        if path.is_dir() {
            return recognize_folder(path);
        }
        if path.exists() {
            return recognize_file(path);
        }
        if let Some((images, labels)) = spec.split_once(',') {
            let pair = Pair { images: existing(images)?, labels: existing(labels)? };
            return Ok(lone_pair(pair));
        }
        Err(DataError::Absent(spec.to_owned()))
    }

    fn new(name: String, kind: Kind) -> Self {
        Self { name, kind, options: ReadOptions::default() }
    }

    /// The same set, with a size and channels for folders of images.
    #[must_use]
    pub fn with_options(self, options: ReadOptions) -> Self {
        Self { options, ..self }
    }

    /// The set's name: its known one, or that of its file or folder.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What kind of files it is made of, in words.
    #[must_use]
    pub fn format(&self) -> &'static str {
        match self.kind {
            Kind::Embedded => "embedded IDX",
            Kind::Cifar { .. } => "CIFAR-10 binary",
            Kind::Idx { .. } => "IDX",
            Kind::Folder { .. } => "folder of images",
        }
    }

    /// The splits that it has.
    #[must_use]
    pub fn splits(&self) -> Vec<Split> {
        let (train, test) = match &self.kind {
            Kind::Embedded => (true, true),
            Kind::Cifar { train, test } => (!train.is_empty(), !test.is_empty()),
            Kind::Idx { train, test, .. } => (train.is_some(), test.is_some()),
            Kind::Folder { roots, .. } => return roots.iter().map(|(split, _)| *split).collect(),
        };
        let both = [(Split::Train, train), (Split::Test, test)];
        both.into_iter().filter(|&(_, there)| there).map(|(split, _)| split).collect()
    }

    /// The split that networks are judged on: the test images, or, where there are none, the
    /// validation images.
    #[must_use]
    pub fn held_out(&self) -> Split {
        let splits = self.splits();
        let instead = !splits.contains(&Split::Test) && splits.contains(&Split::Validation);
        if instead { Split::Validation } else { Split::Test }
    }

    /// The files or folders of a split; none for the embedded set.
    #[must_use]
    pub fn paths(&self, split: Split) -> Vec<PathBuf> {
        let is_train = split == Split::Train;
        match &self.kind {
            Kind::Embedded => Vec::new(),
            Kind::Cifar { train, test } => if is_train { train } else { test }.clone(),
            Kind::Idx { train, test, .. } => {
                let pair = if is_train { train } else { test };
                pair.iter().flat_map(|p| [p.images.clone(), p.labels.clone()]).collect()
            }
            Kind::Folder { roots, .. } => {
                let of_split = roots.iter().filter(|(of, _)| *of == split);
                of_split.map(|(_, root)| root.clone()).collect()
            }
        }
    }

    /// Opens a split, or its first `images_max` images. Images are read into memory, except of a
    /// folder whose images are of several sizes or take more than the options allow: their files
    /// are decoded when they are used.
    ///
    /// # Errors
    /// When a file is not what it says, or the set has no such split.
    pub fn load(&self, split: Split, images_max: Option<usize>) -> Result<Dataset, DataError> {
        let name = self.name.as_str();
        if !self.splits().contains(&split) {
            let (name, have) = (name.to_owned(), self.splits());
            return Err(DataError::NoSplit { name, asked: split, have });
        }
        let paths = self.paths(split);
        let mut stream: Box<dyn SampleStream> = match &self.kind {
            Kind::Embedded => Box::new(named::open_embedded(split)?),
            Kind::Cifar { .. } => Box::new(CifarStream::new(name, split, &paths)?),
            Kind::Idx { class_names, .. } => {
                let (images, labels) = (ByteStream::open(&paths[0])?, ByteStream::open(&paths[1])?);
                let names = class_names.clone();
                Box::new(IdxStream::new(name, split, images, labels, names, self.idx_classes()?)?)
            }
            Kind::Folder { class_names, .. } => {
                let (names, options) = (class_names.clone(), self.options);
                return folder::open(name, split, &paths[0], names, options, images_max);
            }
        };
        Dataset::read(&mut *stream, images_max)
    }

    /// Opens what a network learns from: the training split, and with it the validation split
    /// where there is one, whose images become those of the training split in shape.
    ///
    /// # Errors
    /// As [`Source::load`], and when there is one class only.
    pub fn load_training(&self) -> Result<Dataset, DataError> {
        let training = self.load(Split::Train, None)?;
        if let [class] = training.class_names.as_slice() {
            let (name, class) = (training.name, class.clone());
            return Err(DataError::OneClass { name, class });
        }
        if !self.splits().contains(&Split::Validation) {
            return Ok(training);
        }
        let [height, width, channels] = training.shape;
        let (size, channels) = (Some([height, width]), Some(channels));
        let options = ReadOptions { size, channels, ..self.options };
        let validation = self.clone().with_options(options).load(Split::Validation, None)?;
        Ok(training.with_validation(validation))
    }

    /// What a split holds, image by image; `progress` is told of each.
    ///
    /// # Errors
    /// When there is no such split, or its files are not what they say; single images that cannot
    /// be read are listed instead.
    pub fn survey(&self, split: Split, progress: &(dyn Fn() + Sync)) -> Result<Survey, DataError> {
        match &self.kind {
            Kind::Folder { class_names, .. } if self.splits().contains(&split) => {
                survey::folder(split, &self.paths(split)[0], class_names, progress)
            }
            _ => Ok(survey::in_memory(&self.load(split, None)?, progress)),
        }
    }

    /// How many images a split of a folder has; none where the files have to be read for it.
    #[must_use]
    pub fn count(&self, split: Split) -> Option<usize> {
        let Kind::Folder { class_names, .. } = &self.kind else { return None };
        let root = self.paths(split).pop()?;
        folder::list_files(&root, class_names).ok().map(|files| files.len())
    }

    /// Classes that the label files of both splits speak of.
    fn idx_classes(&self) -> Result<usize, DataError> {
        let Kind::Idx { train, test, class_names: None } = &self.kind else { return Ok(0) };
        let mut classes = 0;
        for pair in train.iter().chain(test) {
            classes = classes.max(idx::count_classes(ByteStream::open(&pair.labels)?)?);
        }
        Ok(classes)
    }
}

fn recognize_folder(folder: &Path) -> Result<Source, DataError> {
    let io = |source| DataError::Io { path: folder.display().to_string(), at: 0, source };
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(io)? {
        files.push(entry.map_err(io)?.path());
    }
    files.sort();
    let idx_pair = |prefixes: &[&str]| {
        files.iter().find(|f| has_prefix(f, prefixes)).and_then(|images| pair_of(images))
    };
    let train = idx_pair(&["train-images"]);
    let test = idx_pair(&["t10k-images", "test-images"]);
    if train.is_some() || test.is_some() {
        let class_names = named::class_names_of_folder(folder);
        return Ok(Source::new(stem(folder), Kind::Idx { train, test, class_names }));
    }
    let batches = |prefix: &str| -> Vec<PathBuf> {
        let batch = |f: &&PathBuf| has_prefix(f, &[prefix]) && file_name(f).contains(".bin");
        files.iter().filter(batch).cloned().collect()
    };
    let (train, test) = (batches("data_batch"), batches("test_batch"));
    if !train.is_empty() || !test.is_empty() {
        return Ok(Source::new(stem(folder), Kind::Cifar { train, test }));
    }
    recognize_images(folder)
}

fn recognize_images(folder: &Path) -> Result<Source, DataError> {
    let classes = |root: &Path| -> Vec<String> {
        let names = folder::class_folders(root).unwrap_or_default();
        names.into_iter().filter(|name| folder::holds_images(&root.join(name))).collect()
    };
    let find = |&(split, names): &(Split, &[&str])| {
        let mut roots = names.iter().map(|name| folder.join(name));
        Some((split, roots.find(|root| !classes(root).is_empty())?))
    };
    let roots: Vec<_> = FOLDERS.iter().filter_map(find).collect();
    if let Some((_, first)) = roots.first() {
        let class_names = classes(first);
        return Ok(Source::new(stem(folder), Kind::Folder { roots, class_names }));
    }
    let class_names = classes(folder);
    if !class_names.is_empty() {
        let split = if is_test_name(folder) { Split::Test } else { Split::Train };
        let roots = vec![(split, folder.to_owned())];
        return Ok(Source::new(stem(folder), Kind::Folder { roots, class_names }));
    }
    let found = if folder::holds_images(folder) {
        "a folder of images without folders for their classes"
    } else {
        "a folder without IDX files, CIFAR batches or folders of images"
    };
    Err(DataError::Unrecognized { path: folder.display().to_string(), found: found.to_owned() })
}

fn recognize_file(path: &Path) -> Result<Source, DataError> {
    const IDX_MAGICS: [[u8; 4]; 3] = [idx::IMAGES_MAGIC, idx::COLOUR_MAGIC, idx::LABELS_MAGIC];
    let mut start = [0; 512];
    let filled = ByteStream::open(path)?.fill(&mut start)?;
    let (start, name) = (&start[..filled], file_name(path));
    let is_idx = IDX_MAGICS.iter().any(|magic| start.starts_with(magic));
    // What the content leaves open the name decides: the reader then says what is wrong.
    if is_idx || (name.contains("idx") && name.contains("ubyte")) {
        let pair = pair_of(path).ok_or_else(|| DataError::Unrecognized {
            path: path.display().to_string(),
            found: "one IDX file, without its partner beside it (…images-idx3… and …labels-idx1…)"
                .to_owned(),
        })?;
        return Ok(lone_pair(pair));
    }
    let is_label = start.first().is_some_and(|&b| usize::from(b) < cifar::CLASS_NAMES.len());
    if is_label || (filled > 0 && name.contains("_batch")) {
        let files = vec![path.to_owned()];
        let (train, test) =
            if is_test_name(path) { (Vec::new(), files) } else { (files, Vec::new()) };
        return Ok(Source::new(stem(path), Kind::Cifar { train, test }));
    }
    let found = match start {
        [] => "an empty file".to_owned(),
        [0x89, b'P', b'N', b'G', ..] | [0xff, 0xd8, 0xff, ..] => "a single image".to_owned(),
        [b'P', b'K', 3, 4, ..] => "a zip archive, to be unpacked first".to_owned(),
        _ if start.get(257..262) == Some(b"ustar") => {
            "a tar archive, to be unpacked first".to_owned()
        }
        _ => format!("its first bytes are {:02x?}", &start[..filled.min(4)]),
    };
    Err(DataError::Unrecognized { path: path.display().to_string(), found })
}

fn lone_pair(pair: Pair) -> Source {
    let name = stem(&pair.images);
    let class_names = pair.images.parent().and_then(named::class_names_of_folder);
    let (train, test) =
        if is_test_name(&pair.images) { (None, Some(pair)) } else { (Some(pair), None) };
    Source::new(name, Kind::Idx { train, test, class_names })
}

/// The two files of a pair, of which `path` is one: `…images-idx3…` and `…labels-idx1…`.
fn pair_of(path: &Path) -> Option<Pair> {
    let name = file_name(path);
    let names = if name.contains("images") {
        let as_labels = name.replace("images", "labels");
        (name, as_labels.replace("idx3", "idx1").replace("idx4", "idx1"))
    } else {
        (name.replace("labels", "images").replace("idx1", "idx3"), name)
    };
    let beside = |name: &str| {
        let toggled = name.strip_suffix(".gz").map_or_else(|| format!("{name}.gz"), str::to_owned);
        [name, &toggled].into_iter().map(|n| path.with_file_name(n)).find(|p| p.is_file())
    };
    let pair = Pair { images: beside(&names.0)?, labels: beside(&names.1)? };
    (pair.images != pair.labels).then_some(pair)
}

fn existing(path: &str) -> Result<PathBuf, DataError> {
    let found = Some(PathBuf::from(path)).filter(|p| p.is_file());
    found.ok_or_else(|| DataError::Absent(path.to_owned()))
}

fn is_plain_name(spec: &str) -> bool {
    Path::new(spec).file_name() == Some(OsStr::new(spec))
}

fn is_test_name(path: &Path) -> bool {
    has_prefix(path, &["test", "t10k"])
}

fn has_prefix(path: &Path, prefixes: &[&str]) -> bool {
    prefixes.iter().any(|prefix| file_name(path).starts_with(prefix))
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// The name without what tells the format.
fn stem(path: &Path) -> String {
    let absolute = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let name = file_name(&absolute);
    let name = name.strip_suffix(".gz").unwrap_or(&name);
    name.strip_suffix(".bin").unwrap_or(name).to_owned()
}
