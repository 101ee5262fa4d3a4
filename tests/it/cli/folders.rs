//! Training from folders of images, and going on with it: what is taken, and what is refused.

use super::Session;
use super::errors::check;
use std::time::{Duration, Instant};

const SPLITS: [(&str, u32); 3] = [("train", 6), ("val", 2), ("test", 1)];

/// Writes a folder `pictures` of two classes: 12 images to train on, 4 to validate, 2 to test.
/// Their sides grow by `growth` from image to image.
fn write_pictures(session: &Session, growth: u32) {
    for (split, count) in SPLITS {
        for (class, shade) in [("dark", 40), ("light", 200)] {
            let folder = session.path(&format!("pictures/{split}/{class}"));
            std::fs::create_dir_all(&folder).unwrap();
            for i in 0..count {
                let [width, height] = [32 + growth * i, 32 + 2 * growth * i];
                let pixel = |x: u32, y: u32| image::Rgb([shade, (x * 7 + i) as u8, (y * 5) as u8]);
                let picture = image::RgbImage::from_fn(width, height, pixel);
                picture.save(folder.join(format!("{i}.png"))).unwrap();
            }
        }
    }
}

#[test]
fn a_large_network_learns_from_a_folder() {
    let session = Session::new();
    write_pictures(&session, 3);
    let train = "train resnet18 --data pictures --image-size 32 --epochs 1 --batch 4";
    let report = session.json(&format!("{train} -o float.safetensors"));
    assert_eq!((&report["training_images"], &report["validation_images"]), (&12.into(), &4.into()));
    assert_eq!(session.json("evaluate float.safetensors --data pictures")["images"], 2);
    std::fs::write(session.path("pictures/train/light/4.png"), "no picture").unwrap();
    check(&session, train, 2, &["4.png"]);
    std::fs::remove_dir_all(session.path("pictures/train/light")).unwrap();
    check(&session, train, 2, &["one class only, `dark`"]);
}

#[test]
fn experiments_validate_on_the_images_that_are_for_it() {
    let session = Session::new();
    write_pictures(&session, 0);
    let runs = "experiment degradation --data pictures --depths 8 --seeds 2 --width 4 --epochs 1";
    for (count, training) in [("", 12), (" -n 8", 8)] {
        let report = session.json(&format!("{runs} --batch 4 -o runs{training}{count}"));
        let found = (&report["training_images"], &report["validation_images"]);
        assert_eq!(found, (&training.into(), &4.into()));
    }
}

#[test]
fn only_the_same_run_is_resumed() {
    const TRAIN: &str = "train resnet8 --data pictures -o float.safetensors --batch 4";
    let session = Session::new();
    write_pictures(&session, 0);
    let begin = format!("{TRAIN} --epochs 40 --seed 3");
    let mut child = session.command(&begin).stderr(std::process::Stdio::null()).spawn().unwrap();
    let state = session.path("float.resume.safetensors");
    let patience = Instant::now() + Duration::from_secs(300);
    while !state.exists() {
        assert!(Instant::now() < patience, "no state was saved");
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let refused = |rest: &str, words: &[&str]| {
        check(&session, &format!("{TRAIN} --resume {rest}"), 2, words);
    };
    refused("--epochs 3", &["`epochs` is 3, and 40", "float.resume.safetensors"]);
    refused("--seed 0", &["`seed` is 0, and 3"]);
    refused("--learning-rate 0.2", &["`learning_rate` is 0.2, and 0.1"]);
    refused("--schedule steps", &["`schedule` is ", "and \"cosine\""]);
    refused("--zero-gamma", &["`zero_gamma` is true, and false"]);
    let other = TRAIN.replace("resnet8", "resnet20");
    check(&session, &format!("{other} --resume"), 2, &["`resnet8`", "`resnet20`"]);
    let (kept, path) = ("pictures/kept", session.path("pictures/train/dark/0.png"));
    std::fs::rename(&path, session.path(kept)).unwrap();
    refused("", &["16 images, here 15"]);
    image::RgbImage::new(32, 32).save(&path).unwrap();
    refused("", &["images or labels have changed"]);
    std::fs::rename(session.path(kept), &path).unwrap();
    // Settings that the run has are no others, nor is what only says how the end is written.
    session.text(&format!("{TRAIN} --resume --seed 3 --epochs 40 --dtype f16"));
    assert!(!state.exists(), "the finished run leaves no state");
}
