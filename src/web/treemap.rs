//! A picture of the space that a backup uses: one tile for each kind of data and each large app,
//! as large as its share. The tables below it hold the same numbers as text.

use std::cmp::Reverse;

use maud::{Markup, html};

use super::layout::t;
use crate::backup_format::categories::Kind;
use crate::base::units::size;
use crate::reader::usage::{App, Report};

/// Width of the picture in pixels on a wide page and on a phone, for the length of the labels.
const WIDE: f64 = 828.0;
const NARROW: f64 = 328.0;
/// Height of the picture in pixels. The style has the same.
const HEIGHT: f64 = 360.0;
/// Width for which the tiles are nearly square: between those of the two pages.
const SQUARE: f64 = 520.0;
/// Pixels of an average letter, and of the margins of a label.
const LETTER: f64 = 7.4;
const MARGIN: f64 = 14.0;
/// Fewest letters of a label that is cut.
const LETTERS_MIN: usize = 5;
/// Least height of a tile for its name, and for its size below.
const NAME_MIN: f64 = 22.0;
const SIZE_MIN: f64 = 42.0;

/// A part of the space.
struct Tile {
    name: String,
    bytes: u64,
    kind: Kind,
}

/// A rectangle in shares of the picture, from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Rect {
    x: f64,
    y: f64,
    width: f64,
    height: f64,
}

/// Returns the picture of all kinds and the first apps; nothing if the backup is empty.
pub(super) fn picture(usage: &Report, apps_shown: usize) -> Markup {
    let tiles = tiles(usage, apps_shown);
    let sizes: Vec<u64> = tiles.iter().map(|tile| tile.bytes).collect();
    html! {
        @if !tiles.is_empty() {
            svg.treemap role="img" aria-label="The space by kind and app, as areas. The tables below have the numbers." {
                @for (tile, place) in tiles.iter().zip(places(&sizes)) {
                    svg x=(percent(place.x)) y=(percent(place.y))
                        width=(percent(place.width)) height=(percent(place.height)) {
                        title { (t(&tile.name)) ": " (size(tile.bytes)) }
                        rect class={ "k" (tile.kind as usize) } width="100%" height="100%" {}
                        (label(tile, place, "w", WIDE))
                        (label(tile, place, "n", NARROW))
                    }
                }
            }
        }
    }
}

/// Returns the label of a tile for one width of the page, if it has room for one.
fn label(tile: &Tile, place: Rect, class: &str, width: f64) -> Markup {
    let letters = |text: &str| text.chars().count();
    let room = ((place.width * width - MARGIN) / LETTER).max(0.0) as usize;
    let height = place.height * HEIGHT;
    let is_cut = letters(&tile.name) > room;
    let has_name = height >= NAME_MIN && (!is_cut || room >= LETTERS_MIN);
    let name = if is_cut {
        let head: String = tile.name.chars().take(room.saturating_sub(1)).collect();
        format!("{}…", head.trim_end())
    } else {
        tile.name.clone()
    };
    let bytes = size(tile.bytes);
    html! {
        @if has_name {
            text class=(class) x="7" y="18" { (t(&name)) }
            @if height >= SIZE_MIN && letters(&bytes) <= room {
                text class=(class) x="7" y="36" { (bytes) }
            }
        }
    }
}

fn percent(share: f64) -> String {
    format!("{:.3}%", share * 100.0)
}

/// Returns the tiles, largest first. The data of apps is one tile for each app.
fn tiles(usage: &Report, apps_shown: usize) -> Vec<Tile> {
    let tile = |name: &str, bytes, kind| Tile {
        name: name.to_owned(),
        bytes,
        kind,
    };
    let mut of_apps = 0;
    let mut tiles = Vec::new();
    for kind in &usage.kinds {
        match kind.kind {
            Kind::AppData => of_apps = kind.bytes,
            other => tiles.push(tile(other.words(), kind.bytes, other)),
        }
    }
    // Notes are among the personal data already.
    let counts = |app: &&App| !app.id.ends_with("com.apple.notes");
    for app in usage.apps.iter().take(apps_shown).filter(counts) {
        let bytes = app.sum.bytes.min(of_apps);
        of_apps -= bytes;
        let name = app.name.as_deref().unwrap_or(&app.id);
        tiles.push(tile(name, bytes, Kind::AppData));
    }
    tiles.push(tile("Other app data", of_apps, Kind::AppData));
    tiles.retain(|tile| tile.bytes > 0);
    tiles.sort_by_key(|tile| Reverse(tile.bytes));
    tiles
}

/// Returns the places of tiles of these sizes, largest first, so that each is nearly a square: rows
/// are filled along the shorter side of the room that is left, as long as that makes the tiles of
/// the row less narrow (Bruls, Huizing and van Wijk, "Squarified Treemaps", 2000).
fn places(sizes: &[u64]) -> Vec<Rect> {
    let whole: f64 = sizes.iter().map(|size| *size as f64).sum();
    // In pixels, where the shorter side can be told.
    let area = SQUARE * HEIGHT / whole.max(1.0);
    let areas: Vec<f64> = sizes.iter().map(|size| *size as f64 * area).collect();
    let mut room = Rect {
        x: 0.0,
        y: 0.0,
        width: SQUARE,
        height: HEIGHT,
    };
    let mut placed = Vec::new();
    let mut left = &areas[..];
    while !left.is_empty() {
        let side = room.width.min(room.height);
        let mut length = 1;
        while length < left.len() && worst(&left[..=length], side) <= worst(&left[..length], side) {
            length += 1;
        }
        let (row, rest) = left.split_at(length);
        room = place_row(row, room, &mut placed);
        left = rest;
    }
    let share = |at: Rect| Rect {
        x: at.x / SQUARE,
        y: at.y / HEIGHT,
        width: at.width / SQUARE,
        height: at.height / HEIGHT,
    };
    placed.into_iter().map(share).collect()
}

/// Returns the greatest ratio of the sides in a row of these areas along a side.
fn worst(areas: &[f64], side: f64) -> f64 {
    let sum: f64 = areas.iter().sum();
    let depth = (sum / side.max(f64::MIN_POSITIVE)).max(f64::MIN_POSITIVE);
    let ratio = |area: &f64| {
        let length = (area / depth).max(f64::MIN_POSITIVE);
        (length / depth).max(depth / length)
    };
    areas.iter().map(ratio).fold(0.0, f64::max)
}

/// Places a row along the shorter side of a room, and returns the room that is left.
fn place_row(areas: &[f64], room: Rect, placed: &mut Vec<Rect>) -> Rect {
    let sum: f64 = areas.iter().sum();
    let is_column = room.width >= room.height;
    let side = if is_column { room.height } else { room.width };
    let depth = if side > 0.0 { sum / side } else { 0.0 };
    let mut at = 0.0;
    for area in areas {
        let length = if depth > 0.0 { area / depth } else { 0.0 };
        placed.push(if is_column {
            Rect {
                x: room.x,
                y: room.y + at,
                width: depth,
                height: length,
            }
        } else {
            Rect {
                x: room.x + at,
                y: room.y,
                width: length,
                height: depth,
            }
        });
        at += length;
    }
    if is_column {
        Rect {
            x: room.x + depth,
            width: (room.width - depth).max(0.0),
            ..room
        }
    } else {
        Rect {
            y: room.y + depth,
            height: (room.height - depth).max(0.0),
            ..room
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Compares areas with sizes, and checks that no tile leaves the picture or covers another.
    #[test]
    fn areas_match_the_sizes() {
        let many: Vec<u64> = (1..=40).rev().map(|n| n * n * n).collect();
        let steep: Vec<u64> = (0..30).rev().map(|n| 1 << n).collect();
        for sizes in [&[7][..], &[5, 5], &[6, 6, 4, 3, 2, 2, 1], &many, &steep] {
            let places = places(sizes);
            assert_eq!(places.len(), sizes.len());
            let whole: u64 = sizes.iter().sum();
            for (place, size) in places.iter().zip(sizes) {
                let share = *size as f64 / whole as f64;
                assert!(
                    (place.width * place.height - share).abs() < 1e-9,
                    "{place:?}"
                );
                let ends = [place.x + place.width, place.y + place.height];
                assert!(place.x >= 0.0 && place.y >= 0.0, "{place:?}");
                assert!(ends.iter().all(|end| *end < 1.0 + 1e-9), "{place:?}");
            }
            for (number, one) in places.iter().enumerate() {
                for other in &places[number + 1..] {
                    let width = (one.x + one.width).min(other.x + other.width) - one.x.max(other.x);
                    let height =
                        (one.y + one.height).min(other.y + other.height) - one.y.max(other.y);
                    assert!(width < 1e-9 || height < 1e-9, "{one:?} {other:?}");
                }
            }
        }
    }

    #[test]
    fn similar_sizes_make_no_strips() {
        let sizes: Vec<u64> = (0..20).map(|n| 100 - n).collect();
        for place in places(&sizes) {
            let ratio = (place.width * SQUARE) / (place.height * HEIGHT);
            assert!((0.3..3.3).contains(&ratio), "{place:?}");
        }
    }
}
