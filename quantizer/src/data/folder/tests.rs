//! Folders with images of one size and of many, whole and in parts.

use std::fs;

use super::*;
use crate::data::{Source, Survey};

/// Writes images of `[name, width, height]`, each of a colour of its own.
fn write(folder: &Path, images: &[(&str, u32, u32)]) {
    for (index, (name, width, height)) in images.iter().enumerate() {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let colour = |x: u32, y: u32| [(x * 9) as u8, (y * 9) as u8, index as u8 * 30];
        image::RgbImage::from_fn(*width, *height, |x, y| image::Rgb(colour(x, y)))
            .save(path)
            .unwrap();
    }
}

fn source(folder: &Path, options: ReadOptions) -> Source {
    Source::find(folder.to_str().unwrap()).unwrap().with_options(options)
}

fn options(size: Option<[usize; 2]>, memory_bytes_max: usize) -> ReadOptions {
    ReadOptions { size, memory_bytes_max, ..ReadOptions::default() }
}

/// Whether the images are fitted, and whether they are streamed; shape and pixels are the same
/// from memory and from files.
#[track_caller]
fn check(images: &[(&str, u32, u32)], size: Option<[usize; 2]>, fitted: bool) {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), images);
    let load = |memory| source(folder.path(), options(size, memory)).load(Split::Train, None);
    let (roomy, tight) = (load(1 << 20).unwrap(), load(0).unwrap());
    let what = format!("{images:?} for {size:?}");
    assert_eq!((roomy.is_fitted(), roomy.is_streamed()), (fitted, !fitted), "{what}");
    assert_eq!((tight.is_fitted(), tight.is_streamed()), (fitted, true), "{what}");
    assert_eq!((roomy.shape, roomy.labels()), (tight.shape, tight.labels()), "{what}");
    assert_eq!(roomy.to_bytes().unwrap(), tight.to_bytes().unwrap(), "{what}");
    let statistics = roomy.channel_mean_and_std().unwrap();
    assert_eq!(statistics, tight.channel_mean_and_std().unwrap(), "{what}");
    assert_eq!(roomy.image_bytes(), roomy.to_bytes().unwrap().len() / images.len(), "{what}");
    assert!(size.is_none_or(|[h, w]| roomy.shape == [h, w, 3]), "{what}");
}

#[test]
fn images_of_one_size_are_held_and_others_decoded() {
    let same = [("a/1.png", 6, 5), ("b/1.png", 6, 5), ("b/2.png", 6, 5)];
    check(&same, None, true);
    check(&same, Some([5, 6]), true);
    check(&same, Some([4, 4]), false);
    // The first has the size, another one has not.
    let other = [("a/1.png", 6, 5), ("b/1.png", 7, 5), ("b/2.png", 6, 5)];
    check(&other, Some([5, 6]), false);
    check(&other, Some([5, 7]), false);
    check(&other, Some([40, 40]), false);
}

#[test]
fn images_are_cut_about_their_centre_or_where_asked() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &[("a/1.png", 24, 16), ("b/1.png", 9, 30)]);
    let set = source(folder.path(), options(Some([7, 7]), 0)).load(Split::Train, None).unwrap();
    let mut decoder = Decoder::new();
    // Half pixels of a ramp of 9 a pixel: the mean of neighbours weighted by the triangle is the
    // ramp's value at the centre of each output pixel.
    let centre = set.image(0, &mut decoder).unwrap().to_vec();
    for (at, pixel) in centre.chunks(3).enumerate() {
        let ramp = |at: usize, begin: f64| (9.0 * (begin + (at as f64 + 0.5) * 2.0 - 0.5)) as i32;
        let expected = [ramp(at % 7, 5.0), ramp(at / 7, 1.0)];
        let near = |(a, b): (&u8, i32)| (i32::from(*a) - b).abs() <= 1;
        assert!(pixel.iter().zip(expected).all(near), "{at}: {pixel:?}, {expected:?}");
    }
    let mut cut = [0; 7 * 7 * 3];
    let mut asked = [0; 2];
    let corner = |size: [usize; 2]| {
        asked = size;
        super::super::Region { top: 9.0, left: 2.0, height: 7.0, width: 7.0 }
    };
    set.cut(1, &mut decoder, corner, &mut cut).unwrap();
    assert_eq!((asked, &cut[..6]), ([30, 9], &[18, 81, 30, 27, 81, 30][..]));
}

#[test]
fn a_part_of_a_set_shares_its_files() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &[("a/1.png", 6, 5), ("b/1.png", 7, 5), ("a/2.png", 8, 5)]);
    let set = source(folder.path(), options(Some([4, 4]), 0)).load(Split::Train, None).unwrap();
    assert_eq!(set.labels(), [0, 1, 0]);
    let part = set.subset(&[2, 1]);
    let mut decoder = Decoder::new();
    let of_part = part.image(0, &mut decoder).unwrap().to_vec();
    assert_eq!(of_part, set.image(2, &mut decoder).unwrap());
    assert_eq!((part.labels(), part.path(1)), (&[0, 1][..], set.path(1)));
    assert_eq!(part.fingerprint(), set.subset(&[2, 1]).fingerprint());
    assert_ne!(part.fingerprint(), set.subset(&[1, 2]).fingerprint());
    let before = set.fingerprint();
    write(folder.path(), &[("b/1.png", 9, 9)]);
    assert_ne!(set.fingerprint(), before, "another file of the same name");
    assert_eq!(source(folder.path(), options(Some([4, 4]), 0)).count(Split::Train), Some(3));
}

#[test]
fn validation_images_are_those_of_the_folder() {
    for name in ["val", "validation"] {
        let folder = tempfile::tempdir().unwrap();
        let names = ["train/a/1.png", "train/b/1.png"].map(|name| (name, 6, 5));
        write(folder.path(), &names);
        write(folder.path(), &[(&format!("{name}/b/1.png"), 9, 9)]);
        let source = source(folder.path(), ReadOptions::default());
        assert_eq!(source.splits(), [Split::Train, Split::Validation]);
        assert_eq!(source.held_out(), Split::Validation);
        let set = source.load_training().unwrap();
        let (training, validation) = set.split_validation(0.9, 1).unwrap();
        assert_eq!((training.labels(), validation.labels()), (&[0, 1][..], &[1][..]));
        assert_eq!((training.shape, validation.shape), ([5, 6, 3], [5, 6, 3]));
        assert_eq!((validation.split, validation.is_fitted()), (Split::Validation, false));
        write(folder.path(), &[("test/a/1.png", 6, 5)]);
        let source = self::source(folder.path(), ReadOptions::default());
        assert_eq!((source.splits().len(), source.held_out()), (3, Split::Test));
    }
}

/// What cannot be learned from.
#[track_caller]
fn check_refused(images: &[(&str, u32, u32)], options: ReadOptions, words: &str) {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), images);
    fs::create_dir_all(folder.path().join("nested/deeper")).unwrap();
    fs::write(folder.path().join("b/spoilt.jpg"), b"nothing").ok();
    let outcome = source(folder.path(), options).load_training();
    let error = outcome.map(|set| set.to_bytes()).err().unwrap();
    assert!(error.to_string().contains(words), "{error} does not say {words:?}");
    assert!(error.help().is_some(), "{error}");
}

#[test]
fn what_cannot_be_learned_from_is_refused_in_words() {
    let one = [("train/a/1.png", 6, 5), ("train/a/2.png", 6, 5)];
    check_refused(&one, ReadOptions::default(), "has one class only, `a`");
    let two = [("a/1.png", 6, 5), ("b/1.png", 6, 5)];
    check_refused(&two, ReadOptions::default(), "nested holds no images");
    let sizes = [("train/a/1.png", 6, 5), ("train/b/1.png", 7, 5)];
    check_refused(&sizes, ReadOptions::default(), "is 5x7 pixels, but");
    check_refused(&sizes, options(Some([0, 6]), 0), "[0, 6] pixels in 3 channels");
}

#[test]
fn a_survey_counts_sizes_and_names_what_cannot_be_read() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &[("a/1.png", 6, 5), ("b/1.png", 2, 3), ("b/2.png", 31, 1)]);
    fs::write(folder.path().join("a/0.jpg"), b"nothing").unwrap();
    fs::write(folder.path().join("b/._1.png"), b"what a file manager left").unwrap();
    let seen = std::sync::atomic::AtomicUsize::new(0);
    let progress = || {
        seen.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    };
    let source = source(folder.path(), ReadOptions::default());
    let Survey { per_class, sizes, channels, unreadable, .. } =
        source.survey(Split::Train, &progress).unwrap();
    assert_eq!((per_class, sizes, channels), (vec![1, 2], [[3, 2], [1, 31]], 3));
    assert_eq!((unreadable.len(), seen.into_inner()), (1, 4));
    assert!(unreadable[0].to_string().contains("a/0.jpg is not a readable image"));
    assert!(source.survey(Split::Test, &|| ()).is_err());
}
