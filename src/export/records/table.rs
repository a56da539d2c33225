//! Writes a list of records in the formats that were asked for.

use std::marker::PhantomData;

use serde::Serialize;

use super::files::{self, Attached};
use super::ics::Lines;
use super::netscape::Bookmarks;
use super::page::{Page, Shown};
use super::{Count, Doubtful, Format, Run};
use crate::content::Time;
use crate::content::safari::Bookmark;
use crate::export::Error;
use crate::export::escape::csv_row;
use crate::export::record_file::RecordFile;

/// The version of the records in JSON Lines.
const VERSION: u32 = 1;
/// The list whose page is the file that browsers import.
const BOOKMARKS: &str = "bookmarks";
/// The weight of a record in the progress, in bytes.
pub(super) const RECORD_BYTES: u64 = 256;

/// A record that can be written in each format.
pub(super) trait Record: Serialize {
    /// The name of its files, without an extension.
    const STEM: &'static str;
    /// The name of one record in a sentence.
    const ONE: &'static str;
    /// The title of the page.
    const TITLE: &'static str;
    /// The first row of the table.
    const HEADER: &'static [&'static str];

    /// Returns the time by which a period chooses it.
    fn time(&self) -> Option<Time>;
    /// Returns the reasons to doubt it.
    fn doubts(&self) -> &[String];
    /// Returns its name among those of the same kind, for problems.
    fn name(&self) -> String;
    /// Returns the fields of its row in the table.
    fn fields(&self) -> Vec<String>;
    /// Returns what the page shows of it.
    fn shown(&self) -> Shown;
    /// Writes it as a component of iCalendar. Returns false if that is not possible.
    fn component(&self, _: &mut Lines) -> bool {
        false
    }
    /// Returns it as a bookmark: those have a page that browsers import.
    fn bookmark(&self) -> Option<&Bookmark> {
        None
    }
    /// Returns its file, if it can have one.
    fn file(&mut self) -> Option<Attached<'_>> {
        None
    }
}

/// The files of a list while they are written.
pub(super) struct Table<R> {
    page: Option<Page>,
    lines: Option<RecordFile>,
    rows: Option<RecordFile>,
    components: Option<RecordFile>,
    bookmarks: Option<Bookmarks>,
    count: u64,
    of: PhantomData<R>,
}

#[derive(Serialize)]
struct Line<'a, R> {
    version: u32,
    #[serde(flatten)]
    record: &'a R,
}

impl<R: Record> Table<R> {
    pub(super) fn create(run: &mut Run<'_, '_>) -> Result<Table<R>, Error> {
        let mut table = Table {
            page: None,
            lines: None,
            rows: None,
            components: None,
            bookmarks: None,
            count: 0,
            of: PhantomData,
        };
        if run.options.into.dry_run {
            return Ok(table);
        }
        for format in &run.options.formats {
            let mut file = |extension: &str| {
                let name = format!("{}.{extension}", R::STEM);
                RecordFile::create(run.target, &[name])
            };
            match format {
                Format::Html if R::STEM == BOOKMARKS => {
                    table.bookmarks = Some(Bookmarks::begin(file("html")?)?);
                }
                Format::Html => table.page = Some(Page::begin(file("html")?, R::TITLE)?),
                Format::Jsonl => table.lines = Some(file("jsonl")?),
                Format::Csv => {
                    let mut rows = file("csv")?;
                    // Spreadsheets take a file without this mark for one in an older encoding.
                    rows.write("\u{feff}")?;
                    rows.write(&csv_row(R::HEADER.iter().copied()))?;
                    table.rows = Some(rows);
                }
                Format::Ics => {
                    let mut components = file("ics")?;
                    components.write(&Lines::calendar(&run.zones).text())?;
                    table.components = Some(components);
                }
            }
        }
        Ok(table)
    }

    /// Writes a record, if it is in the period.
    pub(super) fn add(&mut self, mut record: R, run: &mut Run<'_, '_>) -> Result<(), Error> {
        if !run.options.period.has(record.time()) {
            return Ok(());
        }
        self.count += 1;
        for why in record.doubts() {
            run.report.doubtful.add(Doubtful {
                record: format!("{} {}", R::ONE, record.name()),
                why: why.clone(),
            });
        }
        if let Some(file) = record.file() {
            files::export(file, run)?;
        }
        if let Some(page) = &mut self.page {
            page.add(&record.shown(), record.doubts())?;
        }
        if let Some(lines) = &mut self.lines {
            lines.json_line(&Line {
                version: VERSION,
                record: &record,
            })?;
        }
        if let Some(rows) = &mut self.rows {
            rows.write(&csv_row(record.fields().iter().map(String::as_str)))?;
        }
        if let (Some(bookmarks), Some(bookmark)) = (&mut self.bookmarks, record.bookmark()) {
            bookmarks.add(bookmark)?;
        }
        if let Some(components) = &mut self.components {
            let mut lines = Lines::default();
            if record.component(&mut lines) {
                components.write(&lines.text())?;
            } else {
                run.report.doubtful.add(Doubtful {
                    record: format!("{} {}", R::ONE, record.name()),
                    why: "it has no beginning, so it is not in the file of iCalendar".to_owned(),
                });
            }
        }
        run.tally.moved(RECORD_BYTES);
        Ok(())
    }

    /// Completes the files.
    pub(super) fn finish(self, run: &mut Run<'_, '_>) -> Result<(), Error> {
        run.report.records.push(Count {
            one: R::ONE,
            count: self.count,
        });
        if let Some(page) = self.page {
            page.finish()?;
        }
        if let Some(bookmarks) = self.bookmarks {
            bookmarks.finish()?;
        }
        if let Some(mut components) = self.components {
            components.write(&Lines::end().text())?;
            components.finish()?;
        }
        for file in [self.lines, self.rows].into_iter().flatten() {
            file.finish()?;
        }
        Ok(())
    }
}
