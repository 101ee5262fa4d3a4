//! The images that a command works on: a part of a data set, in memory.

use crate::failure::{Failure, Outcome};
use ndarray::Array4;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use resmcu_quantizer::data::{DataError, Dataset, Decoder, ReadOptions, Source, Split, SplitInfo};
use resmcu_quantizer::graph::Normalization;
use resmcu_quantizer::train::TrainConfig;

/// The data set of noise.
pub(crate) const NOISE: &str = "noise";

/// Images of noise where nobody says how many.
const NOISE_IMAGES: usize = 10;

/// Images of a data set, checked against the network that shall see them.
pub(crate) struct Wanted<'a> {
    /// Path or name.
    pub(crate) data: &'a str,
    /// Which part.
    pub(crate) split: Split,
    /// At most so many, the first ones.
    pub(crate) images: Option<usize>,
    /// `[H,W,C]` of the network's input.
    pub(crate) shape: [usize; 3],
    /// Classes of the network's output.
    pub(crate) classes: usize,
}

impl Wanted<'_> {
    /// Reads them, or opens their files; those of a folder are cut and resized to the network's
    /// input.
    pub(crate) fn load(&self) -> Outcome<Dataset> {
        if self.data == NOISE {
            return self.noise();
        }
        let source = self.source()?;
        // A set without test images is judged on its validation images, as ImageNet is.
        let split = if self.split == Split::Test { source.held_out() } else { self.split };
        self.checked(source.load(split, self.images)?, split)
    }

    /// The images that a training with these settings held out.
    pub(crate) fn held_out_by(&self, config: &TrainConfig) -> Outcome<Dataset> {
        let (_, held_out) = config.split(&self.source()?.load_training()?)?;
        self.checked(held_out, Split::Train)
    }

    fn source(&self) -> Outcome<Source> {
        let [height, width, channels] = self.shape;
        let size = Some([height, width]);
        let options = ReadOptions { size, channels: Some(channels), ..ReadOptions::default() };
        Ok(Source::find(self.data)?.with_options(options))
    }

    /// The images, if they go with the network.
    fn checked(&self, dataset: Dataset, split: Split) -> Outcome<Dataset> {
        let refuse = |what: String| {
            Err(Failure::input(what).at(format!("{} ({split} images)", self.data)).help(
                "name a data set that goes with the network; `resmcu dataset` lists what is there",
            ))
        };
        if dataset.shape != self.shape {
            let [h, w, c] = dataset.shape;
            let [nh, nw, nc] = self.shape;
            return refuse(format!("images of {h}x{w}x{c}, and the network takes {nh}x{nw}x{nc}"));
        }
        if dataset.class_names.len() > self.classes {
            return refuse(format!(
                "{} classes, and the network tells {} apart",
                dataset.class_names.len(),
                self.classes
            ));
        }
        if dataset.is_empty() {
            return refuse("no images".to_owned());
        }
        Ok(dataset)
    }
}

impl Wanted<'_> {
    /// Seeded noise of the network's own shape, each image of the class that has its number: what
    /// a comparison of bytes needs where there are no images.
    fn noise(&self) -> Outcome<Dataset> {
        let count = self.images.unwrap_or(NOISE_IMAGES);
        let mut rng = ChaCha8Rng::seed_from_u64(self.split as u64);
        let bytes = count * self.shape.iter().product::<usize>();
        let images = (0..bytes).map(|_| rng.random()).collect();
        let classes = self.classes.max(1);
        let labels = (0..count).map(|index| (index % classes) as u16).collect();
        let class_names = (0..classes).map(|class| class.to_string()).collect();
        let (name, split, shape) = (NOISE.to_owned(), self.split, self.shape);
        let info = SplitInfo { name, split, shape, class_names, image_count: Some(count) };
        Ok(Dataset::new(info, images, labels)?)
    }
}

/// A batch `[N,H,W,C]` of normalized images.
pub(crate) fn batch(
    data: &Dataset,
    range: std::ops::Range<usize>,
    normalization: &Normalization,
) -> Outcome<Array4<f32>> {
    let [height, width, channels] = data.shape;
    let mut batch = Array4::zeros([range.len(), height, width, channels]);
    let values = batch.as_slice_mut().unwrap_or_default();
    let images = values.par_chunks_exact_mut(data.image_bytes()).zip(range);
    let failed = images.map_init(Decoder::new, |decoder, (out, index)| {
        normalization.apply(data.image(index, decoder)?, out);
        Ok::<_, DataError>(())
    });
    failed.find_map_first(Result::err).map_or(Ok(batch), |error| Err(error.into()))
}
