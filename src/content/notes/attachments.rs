//! Reads the attachments of notes, and finds their files.

use std::hash::BuildHasher;

use rusqlite::{OptionalExtension, Row};

use super::body::{self, Named};
use super::record::{Attachment, Table};
use super::{Notes, Open, table};
use crate::content::database::columns;
use crate::content::{Presence, value};

columns! {
    Guid = "ZIDENTIFIER",
    Uti = "ZTYPEUTI",
    InlineUti = "ZTYPEUTI1",
    Title = "ZTITLE",
    UserTitle = "ZUSERTITLE",
    Url = "ZURLSTRING",
    AltText = "ZALTTEXT",
    Media = "ZMEDIA",
    Data1 = "ZMERGEABLEDATA1",
    Data = "ZMERGEABLEDATA",
    ImageGeneration = "ZFALLBACKIMAGEGENERATION",
    PdfGeneration = "ZFALLBACKPDFGENERATION",
}

/// The columns of a file.
pub(super) const MEDIA_COLUMNS: &[&str] =
    &["ZIDENTIFIER", "ZFILENAME", "ZGENERATION1", "ZGENERATION"];
/// The type of tables.
const TABLE: &str = "com.apple.notes.table";

/// The columns of an attachment.
pub(super) fn columns() -> &'static [&'static str] {
    COLUMNS
}

impl Notes {
    /// Reads an attachment that a text names. An attachment that is not in the database has only
    /// its identifier and type.
    pub(super) fn attachment(
        &self,
        named: Named<'_>,
        account: Option<i64>,
        open: &mut Open<'_>,
    ) -> Attachment {
        let hash = self.hasher.hash_one(named.guid);
        let known = &self.objects.attachments;
        let first = known.partition_point(|(other, _)| *other < hash);
        let same = known[first..]
            .iter()
            .take_while(|(other, _)| *other == hash);
        for (_, row) in same {
            if let Some(mut attachment) = self.attachment_at(*row, account, open)
                && attachment.guid == named.guid
            {
                attachment.uti = attachment.uti.or_else(|| named.uti.map(str::to_owned));
                let parts = self.objects.parts.get(row).into_iter().flatten();
                for part in parts {
                    let part = self.attachment_at(*part, account, open);
                    attachment.parts.extend(part);
                }
                return attachment;
            }
        }
        Attachment {
            guid: named.guid.to_owned(),
            uti: named.uti.map(str::to_owned),
            file: Some(Presence::Missing),
            ..Attachment::default()
        }
    }

    /// Reads the row of an attachment, without its parts. Returns `None` for a row that cannot be
    /// read.
    fn attachment_at(
        &self,
        id: i64,
        account: Option<i64>,
        open: &mut Open<'_>,
    ) -> Option<Attachment> {
        let media = &mut open.media;
        let read = open.attachment.query_row([id], |row| {
            let text = |column: Column| value::words(row, column as usize);
            let mut attachment = Attachment {
                guid: text(Column::Guid).unwrap_or_default(),
                uti: text(Column::Uti).or_else(|| text(Column::InlineUti)),
                name: text(Column::UserTitle).or_else(|| text(Column::Title)),
                text: text(Column::AltText),
                url: text(Column::Url),
                ..Attachment::default()
            };
            if attachment.uti.as_deref() == Some(TABLE) {
                let data = value::bytes(row, Column::Data1 as usize)
                    .or_else(|| value::bytes(row, Column::Data as usize));
                match data.ok_or("it has no data".to_owned()).and_then(cells) {
                    Ok(table) => attachment.table = Some(table),
                    Err(why) => attachment.undecodable = Some(why),
                }
                return Ok(attachment);
            }
            let media_row = value::integer(row, Column::Media as usize)
                .or_else(|| self.objects.media.get(&id).copied());
            if let Some(media_row) = media_row {
                let found = media.query_row([media_row], |row| Ok(self.media(row, account)));
                // A row that is not there or cannot be read names no file.
                if let Some((name, path)) = found.optional().ok().flatten() {
                    attachment.file = Some(presence(path.as_ref()));
                    attachment.name = name.or(attachment.name);
                    attachment.path = path;
                } else {
                    attachment.file = Some(Presence::Missing);
                }
            } else {
                let image = text(Column::ImageGeneration).unwrap_or_default();
                let pdf = text(Column::PdfGeneration).unwrap_or_default();
                self.drawing(&mut attachment, &image, &pdf, account);
            }
            Ok(attachment)
        });
        read.ok()
    }

    /// Returns the name of a file, and its path if the backup has it.
    fn media(&self, row: &Row<'_>, account: Option<i64>) -> (Option<String>, Option<String>) {
        let text = |column| value::words(row, column);
        let (Some(guid), Some(name)) = (text(0), text(1)) else {
            return (text(1), None);
        };
        let generation = text(2).or_else(|| text(3)).unwrap_or_default();
        let paths = [
            format!("Media/{guid}/{generation}/{name}"),
            format!("Media/{guid}/{name}"),
        ];
        let path = self.find(&paths, account);
        (Some(name), path)
    }

    /// Finds the picture of a drawing, or the document of a scan.
    fn drawing(&self, attachment: &mut Attachment, image: &str, pdf: &str, account: Option<i64>) {
        let kind = attachment.uti.as_deref().unwrap_or_default();
        if !kind.starts_with("com.apple.drawing") && !kind.starts_with("com.apple.paper") {
            return;
        }
        let guid = &attachment.guid;
        let paths = [
            format!("FallbackPDFs/{guid}/{pdf}/FallbackPDF.pdf"),
            format!("FallbackImages/{guid}/{image}/FallbackImage.png"),
            format!("FallbackImages/{guid}.png"),
            format!("FallbackImages/{guid}.jpg"),
        ];
        let path = self.find(&paths, account);
        attachment.file = Some(presence(path.as_ref()));
        attachment.path = path;
    }

    /// Finds the first of some paths below the folder of an account that the backup has.
    fn find(&self, paths: &[String], account: Option<i64>) -> Option<String> {
        let accounts = &self.objects.accounts;
        let of_note = account.and_then(|account| accounts.get(&account));
        let folder = of_note.map(|account| format!("Accounts/{}/", account.guid));
        let folders = folder.into_iter().chain([String::new()]);
        let all =
            folders.flat_map(|folder| paths.iter().map(move |path| format!("{folder}{path}")));
        all.map(|path| path.replace("//", "/"))
            .find(|path| self.files.have(path))
    }
}

fn presence(path: Option<&String>) -> Presence {
    path.map_or(Presence::Missing, |_| Presence::InBackup)
}

/// Unpacks and decodes the cells of a table.
fn cells(packed: &[u8]) -> Result<Table, String> {
    let bytes = body::unpack(packed)?;
    table::decode(&bytes)
}
