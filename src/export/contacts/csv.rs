//! Contacts as a table for spreadsheets: `contacts.csv`.

use super::Writer;
use crate::content::contacts::{Account, Address, Day, Labeled, Person, Picture};
use crate::export::Error;
use crate::export::destination::Target;
use crate::export::escape::csv_row;
use crate::export::record_file::RecordFile;

const HEADER: [&str; 20] = [
    "name",
    "prefix",
    "first",
    "middle",
    "last",
    "suffix",
    "nickname",
    "organization",
    "department",
    "job title",
    "numbers",
    "mails",
    "addresses",
    "urls",
    "birthday",
    "dates",
    "related",
    "accounts",
    "note",
    "picture",
];

/// Writes the table. Several values of a field are in lines of their own.
pub(super) struct Csv(RecordFile);

impl Csv {
    pub(super) fn create(target: &mut Target) -> Result<Csv, Error> {
        let mut file = RecordFile::create(target, &["contacts.csv".to_owned()])?;
        // Spreadsheets take a file without this mark for one in an older encoding.
        file.write("\u{feff}")?;
        file.write(&csv_row(HEADER))?;
        Ok(Csv(file))
    }
}

impl Writer for Csv {
    fn person(
        &mut self,
        person: &Person,
        picture: Option<&(Picture, String)>,
    ) -> Result<(), Error> {
        let text = |field: &Option<String>| field.clone().unwrap_or_default();
        let dates: Vec<String> = person
            .dates
            .iter()
            .map(|one| labeled(&one.label, &day(one.day)))
            .collect();
        let accounts = person.messengers.iter().chain(&person.profiles);
        let accounts: Vec<String> = accounts.map(account).collect();
        let addresses: Vec<String> = person.addresses.iter().map(address).collect();
        let row = [
            person.name.clone(),
            text(&person.prefix),
            text(&person.first),
            text(&person.middle),
            text(&person.last),
            text(&person.suffix),
            text(&person.nickname),
            text(&person.organization),
            text(&person.department),
            text(&person.job_title),
            lines(&person.numbers),
            lines(&person.mails),
            addresses.join("\n"),
            lines(&person.urls),
            person.birthday.map(day).unwrap_or_default(),
            dates.join("\n"),
            lines(&person.related),
            accounts.join("\n"),
            text(&person.note),
            picture.map(|(_, path)| path.clone()).unwrap_or_default(),
        ];
        self.0.write(&csv_row(row.iter().map(String::as_str)))
    }

    fn finish(self: Box<Self>) -> Result<(), Error> {
        self.0.finish()
    }
}

fn labeled(label: &Option<String>, value: &str) -> String {
    match label {
        Some(label) => format!("{label}: {value}"),
        None => value.to_owned(),
    }
}

fn lines(values: &[Labeled]) -> String {
    let lines: Vec<String> = values
        .iter()
        .map(|one| labeled(&one.label, &one.value))
        .collect();
    lines.join("\n")
}

pub(super) fn address(address: &Address) -> String {
    let parts = [
        &address.street,
        &address.sublocality,
        &address.zip,
        &address.city,
        &address.state,
        &address.country,
    ];
    let parts: Vec<String> = parts
        .into_iter()
        .flatten()
        .map(|part| part.replace('\n', ", "))
        .collect();
    labeled(&address.label, &parts.join(", "))
}

pub(super) fn account(account: &Account) -> String {
    let parts = [&account.service, &account.username, &account.url];
    let parts: Vec<&str> = parts.into_iter().flatten().map(String::as_str).collect();
    labeled(&account.label, &parts.join(" "))
}

pub(super) fn day(day: Day) -> String {
    match day.year {
        Some(year) => format!("{year:04}-{:02}-{:02}", day.month, day.day),
        None => format!("{:02}-{:02}", day.month, day.day),
    }
}
