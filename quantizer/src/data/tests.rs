//! Readers against files made here: what they read, and what they refuse in which words.

use std::fs;
use std::io::Write;
use std::path::Path;

use super::*;

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
}

fn idx(sizes: &[usize], bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    write_idx(&mut out, sizes, bytes).unwrap();
    out
}

fn cifar(labels: &[u8]) -> Vec<u8> {
    let plane = |value: u8| vec![value; 1024];
    let record = |&l: &u8| [vec![l], plane(10 + l), plane(20 + l), plane(30 + l)].concat();
    labels.iter().flat_map(record).collect()
}

/// Writes files (by their paths) into an empty folder and hands it to `body`.
fn with_files<T>(files: &[(&str, Vec<u8>)], body: impl FnOnce(&Path) -> T) -> T {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    body(folder.path())
}

fn image(set: &Dataset, i: usize) -> Vec<u8> {
    set.image(i, &mut Decoder::new()).unwrap().to_vec()
}

/// Loads the first split of the set at `spec` (below the folder of `files`).
fn load(files: &[(&str, Vec<u8>)], spec: &str) -> Result<Dataset, DataError> {
    with_files(files, |folder| {
        let source = Source::find(folder.join(spec).to_str().unwrap())?;
        source.load(source.splits()[0], None)
    })
}

#[track_caller]
fn check_reads(files: &[(&str, Vec<u8>)], spec: &str, shape: [usize; 3], labels: &[u16]) {
    let set = load(files, spec).unwrap_or_else(|e| panic!("{spec}: {e}"));
    assert_eq!((set.shape, set.labels()), (shape, labels), "{spec}");
}

#[track_caller]
fn check_refuses(files: &[(&str, Vec<u8>)], spec: &str, words: &str) {
    let message = load(files, spec).expect_err(words).to_string();
    assert!(message.contains(words), "{message:?} does not say {words:?}");
}

const IMAGES: &str = "train-images-idx3-ubyte";
const LABELS: &str = "train-labels-idx1-ubyte";

#[test]
fn idx_is_read_plain_gzipped_grey_and_coloured() {
    let (pixels, labels) = ([1, 2, 3, 4, 5, 6], idx(&[3], &[2, 0, 1]));
    let grey = idx(&[3, 1, 2], &pixels);
    let expected = ([1, 2, 1], [2, 0, 1]);
    for spec in ["", IMAGES, LABELS] {
        let files = [(IMAGES, grey.clone()), (LABELS, labels.clone())];
        check_reads(&files, spec, expected.0, &expected.1);
    }
    // Gzip by content, not by name; partners may differ in it.
    let files = [(IMAGES, gzip(&grey)), ("train-labels-idx1-ubyte.gz", labels.clone())];
    check_reads(&files, IMAGES, expected.0, &expected.1);
    let colour = idx(&[3, 1, 1, 2], &pixels);
    check_reads(&[(IMAGES, colour), (LABELS, labels.clone())], "", [1, 1, 2], &[2, 0, 1]);
    with_files(&[("a", grey), ("b", labels)], |folder| {
        let spec = format!("{0}/a,{0}/b", folder.display());
        let set = Source::find(&spec).unwrap().load(Split::Train, Some(2)).unwrap();
        assert_eq!((set.len(), image(&set, 1), set.class_count()), (2, vec![3, 4], 3));
    });
}

#[test]
fn idx_is_refused_in_words() {
    let (images, labels) = (idx(&[2, 2, 2], &[7; 8]), idx(&[2], &[0, 1]));
    let refuse = |images: &[u8], labels: &[u8], words: &str| {
        check_refuses(&[(IMAGES, images.to_vec()), (LABELS, labels.to_vec())], "", words);
    };
    refuse(&[9; 40], &labels, "wrong magic [09, 09, 09, 09], expected [00, 00, 08, 03]");
    refuse(&images, &images, "wrong magic [00, 00, 08, 03], expected [00, 00, 08, 01]");
    refuse(&images[..20], &labels, "truncated: 20 bytes of 24");
    refuse(&images[..9], &labels, "truncated: 9 bytes of 16");
    refuse(&gzip(&images[..20]), &labels, "truncated: 20 bytes of 24");
    refuse(&gzip(&images)[..18], &labels, "is truncated");
    refuse(&images, &labels[..9], "truncated: 9 bytes of 10");
    refuse(&images, &[labels.clone(), vec![0]].concat(), "goes on after its end");
    refuse(&gzip(&[images.clone(), vec![0]].concat()), &labels, "asks for 24 bytes");
    refuse(&images, &idx(&[1], &[0]), "holds 2 images, but");
    let [mut flat, mut vast] = [images.clone(), labels.clone()];
    flat[4..16].copy_from_slice(&[0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 2]);
    refuse(&flat, &labels, "the height is 0 in the header, allowed are 1 to 4096");
    vast[4..8].copy_from_slice(&[0x0f, 0xff, 0xff, 0xff]);
    refuse(&images, &gzip(&vast), "truncated: 10 bytes of 268435463");
    check_refuses(&[(IMAGES, images)], IMAGES, "without its partner");
}

#[test]
fn cifar_is_read_as_pixels_and_file_after_file() {
    let one = ("data_batch_1.bin", cifar(&[3, 9]));
    let two = ("data_batch_2.bin.gz", gzip(&cifar(&[0])));
    let test = ("test_batch.bin", cifar(&[5]));
    check_reads(&[one.clone(), two.clone(), test.clone()], "", [32, 32, 3], &[3, 9, 0]);
    check_reads(std::slice::from_ref(&two), two.0, [32, 32, 3], &[0]);
    with_files(&[one, test], |folder| {
        let source = Source::find(folder.join("test_batch.bin").to_str().unwrap()).unwrap();
        assert_eq!(source.splits(), [Split::Test]);
        let set = source.load(Split::Test, None).unwrap();
        assert_eq!((&image(&set, 0)[..6], set.label(0)), (&[15, 25, 35, 15, 25, 35][..], 5));
        let error = source.load(Split::Train, None).unwrap_err();
        assert_eq!(error.to_string(), "test_batch has no train images, only: test");
    });
}

#[test]
fn cifar_is_refused_in_words() {
    let refuse = |bytes: &[u8], words| {
        check_refuses(&[("data_batch_1.bin", bytes.to_vec())], "data_batch_1.bin", words);
    };
    refuse(&cifar(&[1, 2])[..6000], "truncated: 6000 bytes of 6146");
    refuse(&gzip(&cifar(&[1, 2])[..6000]), "truncated: 6000 bytes of 6146");
    let whole = gzip(&cifar(&[1, 2]));
    refuse(&whole[..whole.len() - 4], "cannot be read at byte 6146: the compressed file breaks");
    refuse(&cifar(&[1, 10]), "image 1 has label 10, but there are 10 classes");
    check_refuses(&[("data_batch_1.bin", Vec::new())], "", "truncated: 0 bytes of 3073");
}

fn png(width: u32, height: u32, rgb: Option<[u8; 3]>) -> Vec<u8> {
    let mut out = std::io::Cursor::new(Vec::new());
    let image: image::DynamicImage = match rgb {
        Some(rgb) => image::RgbImage::from_pixel(width, height, image::Rgb(rgb)).into(),
        None => image::GrayImage::from_pixel(width, height, image::Luma([9])).into(),
    };
    image.write_to(&mut out, image::ImageFormat::Png).unwrap();
    out.into_inner()
}

#[test]
fn folders_are_read_round_the_classes() {
    let red = || png(3, 2, Some([200, 0, 0]));
    let files = [("train/b/1.png", red()), ("train/b/2.png", red()), ("train/a/x.PNG", red())];
    check_reads(&files, "", [2, 3, 3], &[0, 1, 1]);
    check_reads(&files, "train", [2, 3, 3], &[0, 1, 1]);
    let grey = [("a/1.png", png(3, 2, None)), ("b/1.png", png(3, 2, None))];
    check_reads(&grey, "", [2, 3, 1], &[0, 1]);
    // A test split uses the labels of the training split.
    let both = [files.to_vec(), vec![("test/b/1.png", red())]].concat();
    with_files(&both, |folder| {
        let source = Source::find(folder.to_str().unwrap()).unwrap();
        let options =
            ReadOptions { size: Some([4, 4]), channels: Some(1), ..ReadOptions::default() };
        let set = source.with_options(options).load(Split::Test, None).unwrap();
        assert_eq!((set.shape, set.labels()), ([4, 4, 1], &[1][..]));
        assert_eq!(set.class_names, ["a", "b"]);
    });
}

#[test]
fn folders_are_refused_in_words() {
    let grey = |name: &'static str| (name, png(3, 2, None));
    check_refuses(&[grey("a/1.png"), ("b/1.png", png(5, 2, None))], "", "is 2x5 pixels, but");
    check_refuses(&[grey("a/1.png"), ("b/1.jpg", vec![1; 9])], "", "b/1.jpg is not a readable");
    let cut = png(3, 2, None)[..30].to_vec();
    check_refuses(&[grey("a/1.png"), ("b/1.png", cut)], "", "b/1.png is not a readable image");
    let colour = ("b/1.png", png(3, 2, Some([1, 2, 3])));
    check_refuses(&[grey("a/1.png"), colour], "", "has colours, but");
    check_refuses(&[grey("1.png")], "", "without folders for their classes");
    let files = [grey("train/a/1.png"), grey("test/c/1.png")];
    with_files(&files, |folder| {
        let source = Source::find(folder.to_str().unwrap()).unwrap();
        let error = source.load(Split::Test, None).unwrap_err().to_string();
        assert!(error.contains("class `c` is not among the training classes"), "{error}");
    });
}

#[test]
fn what_is_no_data_set_is_named() {
    check_refuses(&[], "nothing-here", "no file, folder or data set");
    check_refuses(&[("x.png", png(3, 2, None))], "x.png", "a single image");
    check_refuses(&[("x", b"hello".to_vec())], "x", "its first bytes are [68, 65, 6c, 6c]");
    check_refuses(&[("x", Vec::new())], "x", "an empty file");
    let mut tar = vec![b'x'; 512];
    tar[257..262].copy_from_slice(b"ustar");
    check_refuses(&[("x.tar.gz", gzip(&tar))], "x.tar.gz", "a tar archive");
    check_refuses(&[("a/b.txt", Vec::new())], "", "a folder without IDX files");
    let missing = named::not_installed(&named_sets()[1], &["/a".into()]);
    assert!(missing.to_string().ends_with("is not installed; looked in /a/fashion-mnist"));
    assert!(missing.help().is_some_and(|h| h.contains("apt-get install dataset-fashion-mnist")));
}

/// The embedded set is what README.md beside it says; the checksums are those of the pixels.
#[test]
fn the_embedded_set_is_whole_and_balanced() {
    let source = Source::find(FASHION_MNIST_SMALL).unwrap();
    for (split, per_class, crc) in
        [(Split::Train, 500, 0x7db6_fb72_u32), (Split::Test, 100, 0xaaad_9082)]
    {
        let set = source.load(split, None).unwrap();
        assert_eq!((set.shape, set.images_per_class()), ([28, 28, 1], vec![per_class; 10]));
        let mut found = flate2::Crc::new();
        found.update(&set.to_bytes().unwrap());
        set.labels().iter().for_each(|&l| found.update(&[l as u8]));
        assert_eq!(found.sum(), crc, "{split}: {:#010x}", found.sum());
    }
}

#[test]
fn validation_is_cut_class_by_class_from_a_seed() {
    let info = SplitInfo {
        name: "made up".to_owned(),
        split: Split::Train,
        shape: [1, 1, 1],
        class_names: vec!["a".to_owned(), "b".to_owned(), "c".to_owned()],
        image_count: None,
    };
    let labels: Vec<u16> = (0..100).map(|i| u16::from(i % 4 == 0)).collect();
    let set = Dataset::new(info.clone(), (0..100).collect(), labels).unwrap();
    let (training, validation) = set.split_validation(0.2, 1).unwrap();
    assert_eq!(training.images_per_class(), [60, 20, 0]);
    assert_eq!(validation.images_per_class(), [15, 5, 0]);
    let mut all = [training.to_bytes().unwrap(), validation.to_bytes().unwrap()].concat();
    all.sort();
    assert_eq!(all, set.to_bytes().unwrap());
    assert_eq!(set.split_validation(0.2, 1).unwrap().1, validation);
    assert_ne!(set.split_validation(0.2, 2).unwrap().1, validation);
    for share in [1.0, -1.0, f64::NAN] {
        assert!(set.split_validation(share, 1).is_err(), "{share}");
    }
    let (training, validation) = set.split_validation(0.0, 1).unwrap();
    assert_eq!((training == set, validation.len()), (true, 0));
    assert!(set.take(0).split_validation(0.0, 1).is_err());
    assert!(set.take(1).split_validation(0.5, 1).is_err());
    assert!(Dataset::new(info.clone(), vec![0; 2], vec![0]).is_err());
    assert!(Dataset::new(info, vec![0], vec![3]).is_err());
}

#[test]
fn channel_statistics_are_those_of_pixels_from_0_to_1() {
    let files =
        [("a/1.png", png(2, 2, Some([0, 51, 255]))), ("a/2.png", png(2, 2, Some([255; 3])))];
    let (mean, std) = load(&files, "").unwrap().channel_mean_and_std().unwrap();
    let near = |found: &[f32], expected: [f32; 3]| {
        assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6), "{found:?}");
    };
    near(&mean, [0.5, 0.6, 1.0]);
    near(&std, [0.5, 0.4, 0.0]);
}
