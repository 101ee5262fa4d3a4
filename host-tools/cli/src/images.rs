//! The images that a command works on: a part of a data set, in memory.

use crate::failure::{Failure, Outcome};
use ndarray::Array4;
use resmcu_quantizer::data::{Dataset, Source, Split};
use resmcu_quantizer::graph::Normalization;

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
    /// Reads them.
    pub(crate) fn load(&self) -> Outcome<Dataset> {
        let dataset = Source::find(self.data)?.load(self.split, self.images)?;
        let refuse = |what: String| {
            Err(Failure::input(what).at(format!("{} ({} images)", self.data, self.split)).help(
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

/// A batch `[N,H,W,C]` of normalized images.
pub(crate) fn batch(
    data: &Dataset,
    range: std::ops::Range<usize>,
    normalization: &Normalization,
) -> Array4<f32> {
    let [height, width, channels] = data.shape;
    let mut batch = Array4::zeros([range.len(), height, width, channels]);
    let values = batch.as_slice_mut().unwrap_or_default();
    for (index, out) in range.zip(values.chunks_exact_mut(data.image_bytes())) {
        normalization.apply(data.image(index), out);
    }
    batch
}
