//! The report's pictures, as SVG: bars, histograms, the arena's map, the confusion matrix.
//!
//! Owns the look; not what is drawn. Curves of training are `plot`'s.

use crate::failure::{Failure, Outcome};
use crate::output::grouped;
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

const INK: RGBColor = RGBColor(60, 60, 60);
const PALE: RGBColor = RGBColor(225, 230, 235);
const BLUE: RGBColor = RGBColor(0, 114, 178);
const RED: RGBColor = RGBColor(213, 94, 0);
/// Of Okabe and Ito, pale enough for text on them.
const FILLS: [RGBColor; 6] = [
    RGBColor(145, 196, 224),
    RGBColor(244, 186, 140),
    RGBColor(140, 208, 186),
    RGBColor(230, 184, 208),
    RGBColor(246, 216, 140),
    RGBColor(186, 224, 246),
];

/// Width of a whole picture.
const WIDTH: i32 = 860;
const ROW: i32 = 22;
/// Classes up to which each cell of a confusion matrix has its number.
const NUMBERED: usize = 20;

type Problem = Box<dyn std::error::Error>;
type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// One bar.
pub(super) struct Bar {
    pub(super) label: String,
    pub(super) value: f64,
    pub(super) text: String,
    /// Whether it stands out.
    pub(super) bad: bool,
}

/// A tensor's place in the arena and its life in steps.
pub(super) struct Buffer {
    pub(super) name: String,
    pub(super) offset: u64,
    pub(super) bytes: u64,
    pub(super) first: u16,
    pub(super) last: u16,
}

/// Draws on a white area of this size.
fn picture(
    size: (i32, i32),
    draw: impl FnOnce(&Area<'_>) -> Result<(), Problem>,
) -> Outcome<String> {
    let mut text = String::new();
    let drawn = {
        let size = (size.0.max(1).cast_unsigned(), size.1.max(1).cast_unsigned());
        let area = SVGBackend::with_string(&mut text, size).into_drawing_area();
        area.fill(&WHITE).map_err(Problem::from).and_then(|()| {
            draw(&area)?;
            Ok(area.present()?)
        })
    };
    drawn
        .map_err(|error| Failure::input(format!("a picture could not be drawn: {error}")))
        .map(|()| text)
}

fn write(
    area: &Area<'_>,
    text: &str,
    at: (i32, i32),
    anchor: HPos,
    size: i32,
) -> Result<(), Problem> {
    let style = ("sans-serif", size).into_font().color(&INK).pos(Pos::new(anchor, VPos::Center));
    area.draw(&Text::new(text.to_owned(), at, style))?;
    Ok(())
}

fn fill(area: &Area<'_>, from: (i32, i32), to: (i32, i32), color: RGBColor) -> Result<(), Problem> {
    area.draw(&Rectangle::new([from, to], color.filled()))?;
    Ok(())
}

/// Bars from zero on, one below the other.
pub(super) fn bars(bars: &[Bar]) -> Outcome<String> {
    const LABEL: i32 = 230;
    const TEXT: i32 = 130;
    let largest = bars.iter().map(|bar| bar.value).filter(|v| v.is_finite()).fold(0.0, f64::max);
    picture((WIDTH, ROW * bars.len() as i32), |area| {
        for (index, bar) in bars.iter().enumerate() {
            let (top, room) = (ROW * index as i32, f64::from(WIDTH - LABEL - TEXT));
            let length = (bar.value.max(0.0) / largest.max(f64::MIN_POSITIVE)).min(1.0) * room;
            let color = if bar.bad { RED } else { BLUE };
            let end = LABEL + length as i32;
            write(area, &bar.label, (LABEL - 8, top + ROW / 2), HPos::Right, 13)?;
            fill(area, (LABEL, top + 4), (end.max(LABEL + 1), top + ROW - 4), color)?;
            write(area, &bar.text, (end + 8, top + ROW / 2), HPos::Left, 12)?;
        }
        Ok(())
    })
}

/// Counts over equal parts of `[low, high]`.
pub(super) fn histogram(counts: &[u64], [low, high]: [f64; 2]) -> Outcome<String> {
    const SIZE: (i32, i32) = (270, 110);
    const FOOT: i32 = 18;
    let largest = counts.iter().copied().max().unwrap_or(0).max(1);
    picture(SIZE, |area| {
        let base = SIZE.1 - FOOT;
        for (index, &count) in counts.iter().enumerate() {
            let x = |index: usize| (index as i32 * SIZE.0) / counts.len().max(1) as i32;
            // By the root, so that the tails show.
            let height = (count as f64 / largest as f64).sqrt() * f64::from(base - 4);
            if count > 0 {
                let top = base - (height as i32).max(1);
                fill(area, (x(index), top), (x(index + 1), base), BLUE)?;
            }
        }
        fill(area, (0, base), (SIZE.0, base + 1), INK)?;
        let zero = -low / (high - low).max(f64::MIN_POSITIVE);
        if (0.05..0.95).contains(&zero) {
            let x = (zero * f64::from(SIZE.0)) as i32;
            fill(area, (x, base - 2), (x + 1, base + 4), INK)?;
            write(area, "0", (x, SIZE.1 - 8), HPos::Center, 11)?;
        }
        write(area, &short(low), (2, SIZE.1 - 8), HPos::Left, 11)?;
        write(area, &short(high), (SIZE.0 - 2, SIZE.1 - 8), HPos::Right, 11)
    })
}

fn short(value: f64) -> String {
    if value == 0.0 || (0.01..10_000.0).contains(&value.abs()) {
        return format!("{value:.2}");
    }
    format!("{value:.1e}")
}

/// Memory upwards, steps to the right.
pub(super) fn arena(buffers: &[Buffer], arena: u64, steps: u16) -> Outcome<String> {
    const HEIGHT: i32 = 360;
    const LEFT: i32 = 90;
    const FOOT: i32 = 26;
    let column = f64::from(WIDTH - LEFT - 4) / f64::from(steps.max(1));
    let x = |step: u16| LEFT + (f64::from(step) * column) as i32;
    let y = |offset: u64| {
        let share = offset as f64 / arena.max(1) as f64;
        HEIGHT - FOOT - (share * f64::from(HEIGHT - FOOT - 12)) as i32
    };
    picture((WIDTH, HEIGHT), |area| {
        for quarter in 0..=4 {
            let offset = arena * quarter / 4;
            fill(area, (LEFT, y(offset)), (WIDTH - 4, y(offset) + 1), PALE)?;
            write(area, &grouped(offset), (LEFT - 8, y(offset)), HPos::Right, 12)?;
        }
        for (index, buffer) in buffers.iter().enumerate() {
            let from = (x(buffer.first), y(buffer.offset + buffer.bytes));
            let to = (x(buffer.last.saturating_add(1)), y(buffer.offset));
            fill(area, from, to, FILLS[index % FILLS.len()])?;
            area.draw(&Rectangle::new([from, to], INK.stroke_width(1)))?;
            let (wide, high) = (to.0 - from.0, to.1 - from.1);
            let letters = wide / 7;
            if high >= 14 && letters >= 3 {
                let name: String = buffer.name.chars().take(letters as usize).collect();
                write(area, &name, (from.0 + 4, i32::midpoint(from.1, to.1)), HPos::Left, 11)?;
            }
        }
        for step in (0..steps).step_by(usize::from(steps.div_ceil(24).max(1))) {
            let middle = x(step) + (column / 2.0) as i32;
            write(area, &step.to_string(), (middle, HEIGHT - 14), HPos::Center, 11)?;
        }
        write(area, "bytes", (LEFT - 8, HEIGHT - 14), HPos::Right, 11)
    })
}

/// Rows are labels, columns answers; a cell is as dark as its share of its row.
pub(super) fn confusion(matrix: &[Vec<usize>], names: &[String]) -> Outcome<String> {
    const LEFT: i32 = 150;
    const TOP: i32 = 24;
    let classes = matrix.len();
    let numbered = classes <= NUMBERED;
    let cell = ((WIDTH - LEFT) / classes.max(1) as i32).clamp(1, 46);
    let high = if numbered { 26 } else { cell };
    picture((LEFT + cell * classes as i32 + 2, TOP + high * classes as i32 + 2), |area| {
        for (label, row) in matrix.iter().enumerate() {
            let total: usize = row.iter().sum();
            let top = TOP + high * label as i32;
            if numbered {
                let name = names.get(label).map_or("", String::as_str);
                let middle = (LEFT - 8, top + high / 2);
                write(area, &format!("{name} {label}"), middle, HPos::Right, 12)?;
                let above = (LEFT + cell * label as i32 + cell / 2, TOP - 10);
                write(area, &label.to_string(), above, HPos::Center, 12)?;
            }
            for (answer, &count) in row.iter().enumerate() {
                let share = count as f64 / total.max(1) as f64;
                let left = LEFT + cell * answer as i32;
                let hue = if answer == label { BLUE } else { RED };
                // Errors are few: their shade rises faster.
                let shade = if answer == label { 0.75 * share } else { share.sqrt() };
                let to = (left + cell, top + high);
                fill(area, (left, top), to, mixed(hue, shade))?;
                if numbered && count > 0 {
                    let middle = (left + cell / 2, top + high / 2);
                    write(area, &count.to_string(), middle, HPos::Center, 12)?;
                }
            }
        }
        Ok(())
    })
}

/// A colour on white.
fn mixed(RGBColor(r, g, b): RGBColor, share: f64) -> RGBColor {
    let mix = |c: u8| (255.0 - (255.0 - f64::from(c)) * share.clamp(0.0, 1.0)) as u8;
    RGBColor(mix(r), mix(g), mix(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_figures_make_pictures() {
        let bar = |value| Bar { label: "a<b".into(), value, text: "1 dB".into(), bad: false };
        let buffer = Buffer { name: "image".into(), offset: 0, bytes: 9, first: 0, last: 1 };
        let pictures = [
            bars(&[]),
            bars(&[bar(0.0), bar(3.0), bar(f64::INFINITY), bar(f64::NAN), bar(-1.0)]),
            histogram(&[], [0.0, 0.0]),
            histogram(&[0, 5, 0, 1], [-1.0, 2.0]),
            arena(&[], 0, 0),
            arena(&[buffer], 16, 2),
            confusion(&[], &[]),
            confusion(&[vec![3, 1], vec![0, 0]], &["cat".into()]),
            confusion(&vec![vec![1; 100]; 100], &[]),
        ];
        for picture in pictures {
            let text = picture.unwrap();
            assert!(text.contains("<svg") && text.contains("</svg>"), "{text}");
            assert!(!text.contains("NaN") && !text.contains("a<b"), "{text}");
        }
    }
}
