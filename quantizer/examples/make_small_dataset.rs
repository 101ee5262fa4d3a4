//! Makes the embedded data set from the full one: `cargo xtask make-small-dataset`.
//!
//! Takes the first images of each class, in file order, and writes four gzipped IDX files into the
//! folder that is given. The same input gives the same pixels and labels; README.md beside the
//! files has their hashes.

use std::error::Error;
use std::fs::File;
use std::io::Write;
use std::path::Path;

use flate2::{Compression, GzBuilder};
use resmcu_quantizer::data::{Dataset, FASHION_MNIST, Source, Split, write_idx};

const TRAIN_PER_CLASS: usize = 500;
const TEST_PER_CLASS: usize = 100;

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args().nth(1).ok_or("usage: make_small_dataset FOLDER")?;
    let full = Source::find(FASHION_MNIST)
        .map_err(|e| format!("{e}\nhelp: {}", e.help().unwrap_or_default()))?;
    let parts = [(Split::Train, "train", TRAIN_PER_CLASS), (Split::Test, "t10k", TEST_PER_CLASS)];
    for (split, prefix, per_class) in parts {
        let small = first_of_each_class(&full.load(split, None)?, per_class);
        let [h, w, _] = small.shape;
        let images = Path::new(&folder).join(format!("{prefix}-images-idx3-ubyte.gz"));
        write_gzip(&images, &[small.len(), h, w], &small.to_bytes()?)?;
        let labels: Vec<u8> = small.labels().iter().map(|&l| l as u8).collect();
        let path = Path::new(&folder).join(format!("{prefix}-labels-idx1-ubyte.gz"));
        write_gzip(&path, &[small.len()], &labels)?;
    }
    Ok(())
}

fn first_of_each_class(full: &Dataset, per_class: usize) -> Dataset {
    let mut taken = vec![0; full.class_count()];
    let chosen: Vec<usize> = (0..full.len())
        .filter(|&i| {
            let count = &mut taken[usize::from(full.label(i))];
            *count += 1;
            *count <= per_class
        })
        .collect();
    full.subset(&chosen)
}

/// Writes an IDX file without a time or a name in its gzip header.
fn write_gzip(path: &Path, sizes: &[usize], bytes: &[u8]) -> Result<(), Box<dyn Error>> {
    let mut out = GzBuilder::new().write(File::create(path)?, Compression::best());
    write_idx(&mut out, sizes, bytes)?;
    let mut file = out.finish()?;
    file.flush()?;
    println!("{} {} bytes", path.display(), file.metadata()?.len());
    Ok(())
}
