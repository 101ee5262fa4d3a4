//! Charts of lines as SVG: the curves of a run, and of experiments over several.
//!
//! Owns the look; not what is drawn. Text is left to the reader's fonts, so that none are needed
//! here, and the same charts give the same bytes.

use crate::failure::{Failure, Outcome};
use plotters::coord::Shift;
use plotters::coord::ranged1d::{DefaultFormatting, KeyPointHint, Ranged};
use plotters::prelude::*;
use plotters::series::DashedLineSeries;
use std::ops::Range;
use std::path::Path;

/// Width of a picture and height of each of its charts, in pixels.
const SIZE: (u32, u32) = (880, 330);
/// Height of the title above the charts.
const TITLE: u32 = 44;
/// Points of a line up to which each is marked.
const DOTS: usize = 60;
const GREY: RGBColor = RGBColor(110, 110, 110);
/// Of Okabe and Ito: told apart by colour-blind readers too.
const COLORS: [RGBColor; 7] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
    RGBColor(60, 60, 60),
];

/// One line. Points that are not finite are left out.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    /// For the legend; lines without a name are not in it.
    pub(crate) name: String,
    /// Place in the palette, which repeats: lines that belong together share one.
    pub(crate) color: usize,
    /// Drawn thin and pale: one of several seeds, say.
    pub(crate) faint: bool,
    /// `(x, y)`, by rising x.
    pub(crate) points: Vec<(f64, f64)>,
}

/// How the y axis goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scale {
    /// From the lowest to the highest value.
    Linear,
    /// By powers of ten; points from zero down are left out.
    Log,
}

/// One chart of a picture.
#[derive(Clone, Debug)]
pub(crate) struct Chart {
    /// What x is, with its unit.
    pub(crate) x: String,
    /// What y is, with its unit.
    pub(crate) y: String,
    /// How y goes.
    pub(crate) scale: Scale,
    /// The lines, drawn in this order.
    pub(crate) lines: Vec<Line>,
    /// A place on x that stands out, and what it is.
    pub(crate) mark: Option<(f64, String)>,
}

/// Writes `charts`, one below the other, to `path`, whole or not at all.
pub(crate) fn write(path: &Path, title: &str, charts: &[Chart]) -> Outcome {
    crate::output::write_file(path, svg(title, charts)?.as_bytes())
}

/// `charts`, one below the other, as SVG.
pub(crate) fn svg(title: &str, charts: &[Chart]) -> Outcome<String> {
    let mut text = String::new();
    let height = TITLE + SIZE.1 * charts.len() as u32;
    draw(&mut text, (SIZE.0, height), title, charts)
        .map_err(|error| Failure::input(format!("the curves could not be drawn: {error}")))
        .map(|()| text)
}

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Context<'a, DB> = ChartContext<'a, DB, Cartesian2d<Axis, Axis>>;
type Problem = Box<dyn std::error::Error>;

fn draw(text: &mut String, size: (u32, u32), title: &str, charts: &[Chart]) -> Result<(), Problem> {
    let root = SVGBackend::with_string(text, size).into_drawing_area();
    root.fill(&WHITE)?;
    let (head, rest) = root.split_vertically(TITLE);
    head.draw(&Text::new(title.to_owned(), (16, 14), ("sans-serif", 18).into_font()))?;
    for (area, chart) in rest.split_evenly((charts.len().max(1), 1)).iter().zip(charts) {
        draw_chart(area, chart)?;
    }
    root.present()?;
    Ok(())
}

fn draw_chart(area: &Area<'_>, chart: &Chart) -> Result<(), Problem> {
    let scale = chart.scale;
    let lines: Vec<Vec<(f64, f64)>> = chart.lines.iter().map(|line| shown(scale, line)).collect();
    let x = range(lines.iter().flatten().map(|point| point.0), 0.0);
    let y = range(lines.iter().flatten().map(|point| point.1), 0.05);
    let whole = lines.iter().flatten().all(|point| point.0.fract() == 0.0);
    let mut context = ChartBuilder::on(area)
        .margin(8)
        .margin_right(20)
        .x_label_area_size(42)
        .y_label_area_size(66)
        .build_cartesian_2d(
            Axis { ticks: ticks(&x, 12.0, if whole { 1.0 } else { 0.0 }), range: x },
            Axis {
                ticks: if scale == Scale::Log { log_ticks(&y) } else { ticks(&y, 8.0, 0.0) },
                range: y.clone(),
            },
        )?;
    context
        .configure_mesh()
        .x_desc(&chart.x)
        .y_desc(&chart.y)
        .x_label_formatter(&|x| number(*x))
        .y_label_formatter(&|y| number(if scale == Scale::Log { 10_f64.powf(*y) } else { *y }))
        .label_style(("sans-serif", 13).into_font().color(&GREY))
        .axis_desc_style(("sans-serif", 14).into_font().color(&BLACK))
        .axis_style(GREY)
        .light_line_style(TRANSPARENT)
        .bold_line_style(GREY.mix(0.2))
        .draw()?;
    let ends: Vec<f64> = lines.iter().filter_map(|points| Some(points.last()?.1)).collect();
    for (line, points) in chart.lines.iter().zip(lines) {
        draw_line(&mut context, line, points)?;
    }
    if let Some((at, what)) = &chart.mark {
        mark(&mut context, *at, what)?;
    }
    // The legend keeps away from where the lines end.
    let high = ends.iter().sum::<f64>() > ends.len() as f64 * 0.5 * (y.start + y.end);
    let position =
        if high { SeriesLabelPosition::LowerRight } else { SeriesLabelPosition::UpperRight };
    context
        .configure_series_labels()
        .position(position)
        .background_style(WHITE.mix(0.85))
        .border_style(GREY.mix(0.4))
        .label_font(("sans-serif", 13))
        .draw()?;
    Ok(())
}

fn draw_line<'a, DB: DrawingBackend + 'a>(
    context: &mut Context<'a, DB>,
    line: &Line,
    points: Vec<(f64, f64)>,
) -> Result<(), Problem>
where
    DB::ErrorType: 'static,
{
    let color = COLORS[line.color % COLORS.len()];
    let (opacity, width) = if line.faint { (0.35, 1) } else { (1.0, 2) };
    let style = color.mix(opacity).filled().stroke_width(width);
    let dots = if line.faint || points.len() > DOTS { 0 } else { 2 };
    let drawn = context.draw_series(LineSeries::new(points, style).point_size(dots))?;
    if !line.name.is_empty() {
        drawn.label(&line.name).legend(move |at| key(at, style));
    }
    Ok(())
}

/// A dashed line from top to bottom; its text is in the legend, where nothing is in its way.
fn mark<'a, DB: DrawingBackend + 'a>(
    context: &mut Context<'a, DB>,
    at: f64,
    what: &str,
) -> Result<(), Problem>
where
    DB::ErrorType: 'static,
{
    let (y, style) = (context.y_range(), GREY.stroke_width(1));
    let line = DashedLineSeries::new([(at, y.start), (at, y.end)], 5, 4, style);
    context.draw_series(line)?.label(what).legend(move |at| key(at, style));
    Ok(())
}

/// A line's sign in the legend.
fn key<DB: DrawingBackend>(
    (x, y): (i32, i32),
    style: ShapeStyle,
) -> DynElement<'static, DB, (i32, i32)> {
    PathElement::new([(x, y), (x + 18, y)], style).into_dyn()
}

/// The points of a line that its chart can show, as they stand on its axes.
fn shown(scale: Scale, line: &Line) -> Vec<(f64, f64)> {
    let y = |y: f64| if scale == Scale::Log { y.log10() } else { y };
    let points = line.points.iter().map(|&(x, value)| (x, y(value)));
    points.filter(|(x, y)| x.is_finite() && y.is_finite()).collect()
}

/// From the least to the greatest value with a margin on both sides; never empty.
fn range(values: impl Iterator<Item = f64>, margin: f64) -> Range<f64> {
    let extremes = (f64::INFINITY, f64::NEG_INFINITY);
    let (low, high) = values.fold(extremes, |(l, h), v| (l.min(v), h.max(v)));
    if low > high {
        return 0.0..1.0;
    }
    if low == high {
        return low - 0.5..high + 0.5;
    }
    let margin = margin * (high - low);
    low - margin..high + margin
}

/// A straight axis with labels at round numbers.
struct Axis {
    range: Range<f64>,
    ticks: Vec<f64>,
}

impl Ranged for Axis {
    type FormatOption = DefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, (from, to): (i32, i32)) -> i32 {
        let share = (value - self.range.start) / (self.range.end - self.range.start);
        from + (share * f64::from(to - from)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, _: Hint) -> Vec<f64> {
        self.ticks.clone()
    }

    fn range(&self) -> Range<f64> {
        self.range.clone()
    }
}

/// At most `count` places of an axis, at multiples of 1, 2 or 5 times a power of ten, none closer
/// than `least`.
fn ticks(range: &Range<f64>, count: f64, least: f64) -> Vec<f64> {
    let width = (range.end - range.start) / count;
    let power = 10_f64.powf(width.log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * power);
    let step = steps.into_iter().find(|&step| step >= width).unwrap_or(width).max(least);
    // A little slack, so that rounding does not drop an end.
    let first = ((range.start / step) - 1e-9).ceil() as i64;
    let last = ((range.end / step) + 1e-9).floor() as i64;
    (first..=last).map(|at| at as f64 * step).collect()
}

/// The same on an axis of logarithms: 1, 2 and 5 times powers of ten, or over many of these the
/// powers alone.
fn log_ticks(range: &Range<f64>) -> Vec<f64> {
    let digits: &[f64] = if range.end - range.start > 3.0 { &[1.0] } else { &[1.0, 2.0, 5.0] };
    let powers = range.start.floor() as i64..=range.end.ceil() as i64;
    let all = powers.flat_map(|at| digits.iter().map(move |digit| at as f64 + digit.log10()));
    let within: Vec<f64> = all.filter(|at| range.contains(at)).collect();
    // Values that lie close together: no such place is between them.
    if within.len() > 1 { within } else { ticks(range, 8.0, 0.0) }
}

/// A number on an axis, in as few digits as it takes.
fn number(value: f64) -> String {
    let size = value.abs();
    if size < 1e-12 {
        return "0".to_owned();
    }
    if !(1e-4..1e6).contains(&size) {
        return format!("{value:.1e}");
    }
    // Three digits that count, and all before the point.
    let digits = (2.0 - size.log10().floor()).max(0.0) as usize;
    let text = format!("{value:.digits$}");
    if digits == 0 {
        return text;
    }
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(scale: Scale, points: &[(f64, f64)], words: &[&str]) {
        let line = |name: &str, faint| Line {
            name: name.into(),
            color: 8,
            faint,
            points: points.to_vec(),
        };
        let chart = Chart {
            x: "epoch".into(),
            y: "loss".into(),
            scale,
            lines: vec![line("training <1>", false), line("", true)],
            mark: Some((2.0, "the best".into())),
        };
        let text = svg("A title", &[chart.clone(), chart.clone()]).unwrap();
        assert_eq!(text, svg("A title", &[chart.clone(), chart]).unwrap());
        for word in ["<svg", "</svg>", "A title", "epoch", "loss", "the best"] {
            assert!(text.contains(word), "{word}: {text}");
        }
        for word in words.iter().chain(&["training &lt;1&gt;"]) {
            assert!(text.contains(word), "{word}: {text}");
        }
        assert!(!text.contains("NaN") && !text.contains("inf"), "{text}");
    }

    #[test]
    fn any_lines_make_a_picture() {
        for scale in [Scale::Linear, Scale::Log] {
            check(scale, &[], &[]);
            check(scale, &[(1.0, 3.0)], &["<circle"]);
            check(scale, &[(1.0, 2.0), (2.0, 2.0)], &["<polyline"]);
            check(scale, &[(1.0, f64::NAN), (2.0, f64::INFINITY), (3.0, 1.0)], &[]);
            check(scale, &[(0.0, 0.0), (1.0, -1.0), (2.0, 1e-3), (3.0, 1e3)], &[]);
        }
        check(Scale::Log, &[(1.0, 0.01), (2.0, 1.0), (3.0, 100.0)], &["\n0.1\n", "\n10\n"]);
        assert!(svg("none", &[]).unwrap().contains("none"));
    }

    #[test]
    fn ticks_are_round_and_within() {
        assert_eq!(ticks(&(1.0..6.0), 12.0, 1.0), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        assert_eq!(ticks(&(-0.5..0.5), 4.0, 0.0), [-0.5, 0.0, 0.5]);
        assert_eq!(ticks(&(0.0..100.0), 10.0, 0.0).len(), 11);
        let powers = [0.2, 0.5, 1.0, 2.0].map(f64::log10);
        let found = log_ticks(&(-0.9..0.5));
        assert!(found.iter().zip(powers).all(|(a, b)| (a - b).abs() < 1e-12), "{found:?}");
        assert_eq!(log_ticks(&(-1.5..2.5)), [-1.0, 0.0, 1.0, 2.0]);
        assert!(log_ticks(&(0.4..0.45)).len() > 1);
    }

    #[test]
    fn numbers_on_axes_are_short() {
        let cases = [
            (0.0, "0"),
            (20.0, "20"),
            (0.1, "0.1"),
            (0.30000000000000004, "0.3"),
            (-2.5, "-2.5"),
            (1234.0, "1234"),
            (3.1623, "3.16"),
            (0.00125, "0.00125"),
            (5e-7, "5.0e-7"),
        ];
        for (value, expected) in cases {
            assert_eq!(number(value), expected);
        }
    }
}
