//! Batches are the same whatever threads make them, from wherever they begin, and end in order.

use std::path::PathBuf;

use super::*;
use crate::data::{ReadOptions, Source, Split, SplitInfo};

const IMAGES: usize = 23;
const BATCH: usize = 5;
const STEPS: usize = IMAGES / BATCH;

fn in_memory() -> Dataset {
    let info = SplitInfo {
        name: "numbered".into(),
        split: Split::Train,
        shape: [4, 6, 3],
        class_names: (0..IMAGES).map(|class| class.to_string()).collect(),
        image_count: None,
    };
    let pixels = (0..IMAGES * 72).map(|at| (at * 7 % 251) as u8).collect();
    Dataset::new(info, pixels, (0..IMAGES as u16).collect()).unwrap()
}

/// A folder of PNG images of various sizes in two classes, opened for an input of 9x8.
fn in_files(folder: &std::path::Path) -> Dataset {
    for index in 0..IMAGES {
        let class = folder.join(format!("class{}", index % 2));
        std::fs::create_dir_all(&class).unwrap();
        let [width, height] = [10 + index as u32 % 7, 9 + index as u32 % 5];
        let image = image::RgbImage::from_fn(width, height, |x, y| {
            image::Rgb([(x * 20) as u8, (y * 25) as u8, index as u8 * 9])
        });
        image.save(class.join(format!("{index:02}.png"))).unwrap();
    }
    let options = ReadOptions { size: Some([9, 8]), ..ReadOptions::default() };
    let source = Source::find(folder.to_str().unwrap()).unwrap().with_options(options);
    source.load(Split::Train, None).unwrap()
}

fn plan(begin: [usize; 2]) -> Plan {
    let augmentation = Augmentation {
        seed: 7,
        crop_padding: 2,
        crop_area_min: 0.3,
        flip: true,
        cutout: 3,
        mixup_alpha: 0.4,
    };
    Plan { batch: BATCH, epochs: 3, begin, augmentation }
}

/// Images, labels, labels mixed in, shares.
type Held = (Array4<f32>, Vec<usize>, Vec<usize>, Vec<f32>);

fn batches(dataset: &Dataset, begin: [usize; 2], threads: usize) -> Vec<Held> {
    let normalization = Normalization { mean: vec![0.4; 3], std: vec![0.2; 3] };
    let mut loader = Loader::with_threads(dataset, &normalization, plan(begin), threads).unwrap();
    let mut all = Vec::new();
    while let Some(batch) = loader.next().unwrap() {
        let (labels, shares) = batch.mixed.clone();
        all.push((batch.images.clone(), batch.labels.clone(), labels, shares));
    }
    assert!(loader.next().unwrap().is_none(), "the end stays the end");
    all
}

/// One thread from the beginning says what all others must say.
#[track_caller]
fn check(dataset: &Dataset) {
    let whole = batches(dataset, [0, 0], 1);
    assert_eq!(whole.len(), 3 * STEPS);
    for threads in [1, 2, 5] {
        for begin @ [epoch, step] in [[0, 0], [0, STEPS - 1], [0, STEPS], [1, 2], [2, 3], [3, 0]] {
            let rest = batches(dataset, begin, threads);
            let expected = &whole[epoch * STEPS + step..];
            assert!(rest == expected, "{threads} threads from {begin:?}");
        }
    }
    for (epoch, batches) in whole.chunks(STEPS).enumerate() {
        let mut order = vec![0; dataset.len()];
        augment::order(7, epoch, &mut order);
        let labels = batches.iter().flat_map(|batch| &batch.1);
        let expected = order.iter().map(|&index| usize::from(dataset.label(index)));
        assert!(labels.copied().eq(expected.take(STEPS * BATCH)), "epoch {epoch}");
    }
    let mut mixed = whole.iter().map(|(_, labels, mixed, _)| labels.iter().eq(mixed.iter().rev()));
    assert!(mixed.all(|reversed| reversed));
    assert_ne!(whole[0].0, whole[STEPS].0, "epochs differ");
}

#[test]
fn batches_do_not_depend_on_threads_or_on_the_beginning() {
    check(&in_memory());
    let folder = tempfile::tempdir().unwrap();
    let files = in_files(folder.path());
    assert!(files.is_streamed() && !files.is_fitted());
    check(&files);
}

#[test]
fn no_mixing_leaves_one_label_an_image() {
    let mut plan = plan([0, 0]);
    plan.augmentation.mixup_alpha = 0.0;
    let normalization = Normalization::identity(3);
    let mut loader = Loader::start(&in_memory(), &normalization, plan).unwrap();
    let batch = loader.next().unwrap().unwrap();
    let targets = batch.targets(0.1);
    assert_eq!((targets.mixed, targets.smoothing, targets.labels), (None, 0.1, &batch.labels[..]));
}

/// The memory of a batch is one of the few that were made at the start.
#[test]
fn batches_go_round() {
    let normalization = Normalization::identity(3);
    let mut loader = Loader::start(&in_memory(), &normalization, plan([0, 0])).unwrap();
    let mut addresses = std::collections::BTreeSet::new();
    while let Some(batch) = loader.next().unwrap() {
        addresses.insert((batch.images.as_ptr(), batch.labels.as_ptr()));
    }
    assert!(addresses.len() <= BATCHES, "{} places for {BATCHES} batches", addresses.len());
}

#[test]
fn a_loader_that_is_dropped_ends_its_threads() {
    let dataset = in_memory();
    for taken in [0, 1, 4] {
        let normalization = Normalization::identity(3);
        let mut plan = plan([0, 0]);
        plan.epochs = usize::MAX;
        let mut loader = Loader::with_threads(&dataset, &normalization, plan, 2).unwrap();
        let stop = Arc::clone(&loader.stop);
        for _ in 0..taken {
            loader.next().unwrap().unwrap();
        }
        drop(loader);
        // The worker held the other half.
        assert_eq!(Arc::strong_count(&stop), 1, "after {taken} batches");
    }
}

/// Spoils the file of an image and gives its path.
fn spoil(dataset: &Dataset, index: usize) -> PathBuf {
    let path = dataset.path(index).unwrap().to_owned();
    std::fs::write(&path, b"no image").unwrap();
    path
}

/// That the batches before the spoilt image come, and then an error that names it.
#[track_caller]
fn check_error(epoch_position: usize, threads: usize) {
    let folder = tempfile::tempdir().unwrap();
    let dataset = in_files(folder.path());
    let mut order = vec![0; IMAGES];
    augment::order(7, 0, &mut order);
    let path = spoil(&dataset, order[epoch_position]);
    let normalization = Normalization::identity(3);
    let mut loader = Loader::with_threads(&dataset, &normalization, plan([0, 0]), threads).unwrap();
    for step in 0..epoch_position / BATCH {
        assert!(loader.next().unwrap().is_some(), "step {step}");
    }
    let error = loader.next().unwrap_err().to_string();
    let name = path.display().to_string();
    assert!(error.starts_with(&name) && error.contains("not a readable image"), "{error}");
    assert!(loader.next().unwrap().is_none(), "nothing comes after an error");
}

#[test]
fn an_unreadable_image_is_named_when_its_batch_is_due() {
    for threads in [1, 3] {
        [0, 7, 19].into_iter().for_each(|position| check_error(position, threads));
    }
}
