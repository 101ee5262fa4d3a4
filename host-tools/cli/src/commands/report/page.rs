//! The page itself: sections of text, tables and pictures, in one file that needs no other.

use super::super::bench::Measured;
use super::activations::Activation;
use super::figures::{Bar, Buffer, arena, bars, confusion, histogram};
use super::{Compared, LAYER_IMAGES};
use crate::accuracy::Accuracy;
use crate::failure::Outcome;
use crate::layers::Layer;
use crate::output::{grouped, percent, size};
use crate::statistics::Paired;
use crate::trust::Selected;
use resmcu_model_format::ModelFile;
use resmcu_quantizer::data::Dataset;
use std::fmt::Write;

/// Below so many decibels a tensor stands out.
const LOW_DB: f64 = 20.0;

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;color:#222;max-width:920px;\
margin:2rem auto;padding:0 1rem}h1{font-size:1.6rem;margin-bottom:0}h2{font-size:1.15rem;\
margin-top:2.2rem;border-bottom:1px solid #ddd}p.note{color:#666;font-size:.9rem}\
table{border-collapse:collapse;font-size:.88rem;width:100%}th,td{padding:.15rem .6rem;\
text-align:left;border-bottom:1px solid #eee}td.n,th.n{text-align:right;\
font-variant-numeric:tabular-nums}svg,img{max-width:100%;height:auto}\
.grid{display:grid;grid-template-columns:repeat(auto-fill,minmax(270px,1fr));gap:1rem}\
figure{margin:0}figcaption{font-size:.82rem;color:#444;overflow-wrap:anywhere}";

/// All that the page shows.
pub(super) struct Page<'a> {
    pub(super) opening: String,
    pub(super) file: &'a ModelFile<'a>,
    pub(super) bytes: usize,
    pub(super) origin: Option<&'a str>,
    pub(super) target: &'a str,
    pub(super) data: &'a Dataset,
    pub(super) int8: Accuracy,
    /// Answers that the model trusts, where it does not trust them all.
    pub(super) given: Option<Selected>,
    pub(super) compared: Option<&'a Compared>,
    pub(super) confusion: Vec<Vec<usize>>,
    pub(super) activations: Vec<Activation>,
    pub(super) layers: Vec<Layer>,
    pub(super) measured: &'a Measured,
    /// An SVG file's text.
    pub(super) curves: Option<String>,
}

/// A difference with its interval, in words.
pub(super) fn interval(paired: &Paired) -> String {
    let Paired { difference, ci95: [low, high], only_first, only_second } = *paired;
    let [difference, low, high] = [difference, low, high].map(percent);
    format!(
        "{difference} (95 %, paired: {low} to {high}); \
         {only_first} images only float knows, {only_second} only int8"
    )
}

/// Text as HTML shows it.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            c => out.push(c),
        }
    }
    out
}

/// A file's text as an address of itself: nothing in it can run.
fn data_url(svg: &str) -> String {
    let mut url = "data:image/svg+xml,".to_owned();
    for byte in svg.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'/' | b':' | b'=' => {
                url.push(char::from(byte));
            }
            // Writing to a string cannot fail.
            _ => drop(write!(url, "%{byte:02X}")),
        }
    }
    url
}

/// A table; columns whose title begins with `>` are aligned to the right.
fn table(titles: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let class = |index: usize| match titles.get(index).is_some_and(|t| t.starts_with('>')) {
        true => " class=n",
        false => "",
    };
    let cells = |tag: &str, cells: &[String]| {
        let cell = |(index, cell): (usize, &String)| {
            format!("<{tag}{}>{}</{tag}>", class(index), escaped(cell.trim_start_matches('>')))
        };
        format!("<tr>{}</tr>\n", cells.iter().enumerate().map(cell).collect::<String>())
    };
    let titles: Vec<String> = titles.iter().map(|&title| title.to_owned()).collect();
    let body: String = rows.map(|row| cells("td", &row)).collect();
    format!("<table>\n{}{body}</table>\n", cells("th", &titles))
}

fn section(title: &str, note: &str, body: &str) -> String {
    format!("<h2>{}</h2>\n<p class=note>{}</p>\n{body}\n", escaped(title), escaped(note))
}

impl Page<'_> {
    /// The whole file.
    pub(super) fn html(&self) -> Outcome<String> {
        let name = escaped(self.file.header().name);
        let mut body = format!("<h1>{name}</h1>\n<p class=note>{}</p>\n", escaped(&self.opening));
        body.push_str(&self.summary());
        if let Some(curves) = &self.curves {
            let image = format!("<img alt=\"curves\" src=\"{}\">", data_url(curves));
            body.push_str(&section("Training", "The curves of the float network.", &image));
        }
        body.push_str(&self.classes()?);
        if let Some(compared) = self.compared {
            body.push_str(&errors(compared)?);
        }
        body.push_str(&self.histograms()?);
        body.push_str(&self.memory()?);
        body.push_str(&self.cost()?);
        Ok(format!(
            "<!DOCTYPE html>\n<html lang=en><head><meta charset=utf-8>\n\
             <meta name=viewport content=\"width=device-width\">\n<title>{name}</title>\n\
             <style>{STYLE}</style></head>\n<body>\n{body}</body></html>\n"
        ))
    }

    fn summary(&self) -> String {
        let header = self.file.header();
        let mut rows = vec![("int8", self.int8.to_string())];
        rows.extend(self.given.as_ref().map(|given| ("trusted", given.to_string())));
        if let Some(compared) = self.compared {
            rows.push(("float", compared.float.to_string()));
            rows.push(("difference", interval(&compared.difference)));
            let same = format!("{} of the images get the same class", percent(compared.agreement));
            rows.push(("agreement", same));
            rows.push(("checkpoint", compared.checkpoint.clone()));
        }
        let data = self.data;
        rows.push(("data", format!("{} ({})", data.name, data.split)));
        if let Some(origin) = self.origin {
            rows.push(("weights", origin.to_owned()));
        }
        rows.push(("file", size(self.bytes as u64)));
        rows.push(("arena", size(header.arena_bytes)));
        rows.push(("scratch", size(header.scratch_bytes)));
        rows.push(("MACs", grouped(header.macs)));
        rows.push(("written by", header.producer.to_owned()));
        let rows = rows.into_iter().map(|(what, value)| vec![what.to_owned(), value]);
        table(&["", ""], rows)
    }

    fn classes(&self) -> Outcome<String> {
        let note = "Rows are labels, columns answers; a cell is as dark as its share of its row. \
                    Right answers are blue, wrong ones red.";
        let picture = confusion(&self.confusion, &self.data.class_names)?;
        Ok(section("Confusion", note, &picture))
    }

    fn histograms(&self) -> Outcome<String> {
        let note = format!(
            "How often each integer occurs, over the range that it stands for, of the first {} \
             images. Heights are roots, so that tails show. A tensor that often is at an end that \
             no ReLU makes is clipped.",
            LAYER_IMAGES.min(self.data.len())
        );
        let mut grid = "<div class=grid>\n".to_owned();
        for activation in &self.activations {
            let picture = histogram(&activation.counts, activation.ends)?;
            let [low, high] = activation.at_ends.map(percent);
            let name = escaped(&activation.name);
            grid.push_str(&format!(
                "<figure>{picture}<figcaption>{name}<br>at the ends: {low}, {high}\
                 </figcaption></figure>\n"
            ));
        }
        grid.push_str("</div>");
        Ok(section("Activations", &note, &grid))
    }

    fn memory(&self) -> Outcome<String> {
        let header = self.file.header();
        let lives = crate::layers::lives(self.file);
        let buffers = self.file.tensors().zip(lives).map(|(tensor, life)| Buffer {
            name: tensor.name.to_owned(),
            offset: tensor.offset.into(),
            bytes: tensor.memory_bytes(),
            first: life.first,
            last: life.last,
        });
        let buffers: Vec<_> = buffers.collect();
        let picture = arena(&buffers, header.arena_bytes.into(), header.steps)?;
        let note = format!(
            "{} for tensors; steps go to the right, memory upwards. A tensor drawn over another \
             takes its memory over.",
            size(header.arena_bytes)
        );
        Ok(section("Memory", &note, &picture))
    }

    fn cost(&self) -> Outcome<String> {
        let Measured { unit, counts, total, .. } = self.measured;
        let share = |count: u64| count as f64 / (*total).max(1) as f64;
        let rows = self.layers.iter().zip(counts);
        let bar = |(layer, &count): (&Layer, &u64)| Bar {
            label: layer.name.clone(),
            value: count as f64,
            text: percent(share(count)),
            bad: false,
        };
        let picture = bars(&rows.clone().map(bar).collect::<Vec<_>>())?;
        let row = |(layer, &count): (&Layer, &u64)| {
            vec![
                layer.name.clone(),
                layer.op.clone(),
                layer.kernel.to_owned(),
                grouped(layer.macs),
                grouped(layer.weight_bytes),
                grouped(layer.live),
                grouped(count),
            ]
        };
        let count = format!(">{unit}");
        let titles =
            ["layer", "operator", "kernel", ">MACs", ">weights, bytes", ">live, bytes", &count];
        let note = format!("{} {unit} in all, on {}.", grouped(*total), self.target);
        Ok(section("Cost by layer", &note, &(picture + &table(&titles, rows.map(row)))))
    }
}

/// What the integers lose, tensor by tensor.
fn errors(compared: &Compared) -> Outcome<String> {
    let bar = |layer: &crate::layer_errors::LayerError| Bar {
        label: layer.name.clone(),
        value: layer.sqnr_db,
        text: format!("{:.1} dB", layer.sqnr_db),
        bad: layer.sqnr_db < LOW_DB,
    };
    let picture = bars(&compared.layers.iter().map(bar).collect::<Vec<_>>())?;
    let rows = compared.layers.iter().map(|layer| {
        vec![
            layer.name.clone(),
            format!("{:.1}", layer.sqnr_db),
            format!("{:.5}", layer.cosine),
            format!("{:.4} %", 100.0 * layer.clipped),
        ]
    });
    let table = table(&["tensor", ">SQNR, dB", ">cosine", ">clipped"], rows);
    let note = format!(
        "Signal to quantization noise of every tensor against the float network, on up to \
         {LAYER_IMAGES} of the images; below {LOW_DB} dB in red."
    );
    Ok(section("What the integers lose", &note, &(picture + &table)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_is_read_as_html() {
        assert_eq!(escaped("a<b> & \"c\""), "a&lt;b&gt; &amp; &quot;c&quot;");
        let rows = std::iter::once(vec!["<i>".to_owned(), "1".to_owned()]);
        let found = table(&["x", ">n"], rows);
        assert!(found.contains("<td>&lt;i&gt;</td><td class=n>1</td>"), "{found}");
        assert!(found.contains("<th class=n>n</th>"), "{found}");
        let url = data_url("<svg a=\"1\">é</svg>");
        assert_eq!(url, "data:image/svg+xml,%3Csvg%20a=%221%22%3E%C3%A9%3C/svg%3E");
    }
}
