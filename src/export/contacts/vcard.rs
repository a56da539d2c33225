//! Contacts as vCard 4 (RFC 6350): `contacts.vcf`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::Writer;
use crate::content::contacts::{Account, Address, Day, Labeled, Person, Picture};
use crate::export::Error;
use crate::export::destination::Target;
use crate::export::escape::{content_line, content_text as escaped};
use crate::export::record_file::RecordFile;

/// Writes one card after another.
pub(super) struct Vcard(RecordFile);

impl Vcard {
    pub(super) fn create(target: &mut Target) -> Result<Vcard, Error> {
        let file = RecordFile::create(target, &["contacts.vcf".to_owned()])?;
        Ok(Vcard(file))
    }
}

impl Writer for Vcard {
    fn person(
        &mut self,
        person: &Person,
        picture: Option<&(Picture, String)>,
    ) -> Result<(), Error> {
        self.0
            .write(&card(person, picture.map(|(picture, _)| picture)))
    }

    fn finish(self: Box<Self>) -> Result<(), Error> {
        self.0.finish()
    }
}

/// Returns the card of a person.
fn card(person: &Person, picture: Option<&Picture>) -> String {
    let mut card = Card::default();
    card.line("BEGIN", "VCARD");
    card.line("VERSION", "4.0");
    if person.is_organization {
        card.line("KIND", "org");
    }
    card.line("FN", &escaped(&person.name));
    let names = [
        &person.last,
        &person.first,
        &person.middle,
        &person.prefix,
        &person.suffix,
    ];
    card.line("N", &components(&names));
    card.optional("NICKNAME", &person.nickname);
    if person.organization.is_some() || person.department.is_some() {
        card.line(
            "ORG",
            &components(&[&person.organization, &person.department]),
        );
    }
    card.optional("TITLE", &person.job_title);
    if let Some(day) = person.birthday {
        card.line("BDAY", &date(day));
    }
    for one in &person.numbers {
        card.labeled(
            "TEL",
            ";VALUE=text",
            one.label.as_deref(),
            &escaped(&one.value),
        );
    }
    for one in &person.mails {
        card.labeled("EMAIL", "", one.label.as_deref(), &escaped(&one.value));
    }
    for one in &person.addresses {
        card.labeled("ADR", "", one.label.as_deref(), &address(one));
    }
    for one in &person.urls {
        card.labeled("URL", "", one.label.as_deref(), &uri(&one.value));
    }
    for one in &person.dates {
        let is_anniversary = one.label.as_deref() == Some("Anniversary");
        let name = if is_anniversary {
            "ANNIVERSARY"
        } else {
            "X-ABDATE"
        };
        let label = one.label.as_deref().filter(|_| !is_anniversary);
        card.labeled(name, "", label, &date(one.day));
    }
    for Labeled { label, value } in &person.related {
        card.labeled("RELATED", ";VALUE=text", label.as_deref(), &escaped(value));
    }
    for one in &person.messengers {
        card.labeled("IMPP", "", one.label.as_deref(), &messenger(one));
    }
    for one in &person.profiles {
        let service = one
            .service
            .as_deref()
            .map(|service| format!(";TYPE={}", parameter(service)));
        let value = one
            .url
            .as_deref()
            .or(one.username.as_deref())
            .unwrap_or_default();
        let service = service.unwrap_or_default();
        card.labeled(
            "X-SOCIALPROFILE",
            &service,
            one.label.as_deref(),
            &uri(value),
        );
    }
    if !person.groups.is_empty() {
        let groups: Vec<String> = person.groups.iter().map(|name| escaped(name)).collect();
        card.line("CATEGORIES", &groups.join(","));
    }
    card.optional("NOTE", &person.note);
    if let Some(picture) = picture {
        let data = STANDARD.encode(&picture.bytes);
        card.line(
            "PHOTO",
            &format!("data:{};base64,{data}", picture.mime_type),
        );
    }
    if let Some(guid) = &person.guid {
        card.line("UID;VALUE=text", &escaped(guid));
    }
    if let Some(time) = person.modified {
        let time = time.timestamp().strftime("%Y%m%dT%H%M%SZ").to_string();
        card.line("REV", &time);
    }
    card.line("END", "VCARD");
    card.text
}

#[derive(Default)]
struct Card {
    text: String,
    /// Number of groups, which join a property with its label.
    groups: u32,
}

impl Card {
    fn line(&mut self, name: &str, value: &str) {
        self.text.push_str(&content_line(name, value));
    }

    fn optional(&mut self, name: &str, value: &Option<String>) {
        if let Some(value) = value {
            self.line(name, &escaped(value));
        }
    }

    /// Adds a property with a label: as its type where the standard has one, else as a property of
    /// its own that Apple's and other programs show.
    fn labeled(&mut self, name: &str, parameters: &str, label: Option<&str>, value: &str) {
        let kind = match label {
            Some("Home") => Some("home"),
            Some("Work") => Some("work"),
            Some("Mobile") if name == "TEL" => Some("cell"),
            Some("HomeFAX" | "WorkFAX") if name == "TEL" => Some("fax"),
            Some("Pager") if name == "TEL" => Some("pager"),
            Some(label) if name == "RELATED" => relation(label),
            _ => None,
        };
        match (kind, label) {
            (Some(kind), _) => self.line(&format!("{name};TYPE={kind}{parameters}"), value),
            (None, None) => self.line(&format!("{name}{parameters}"), value),
            (None, Some(label)) => {
                self.groups += 1;
                let group = format!("item{}", self.groups);
                self.line(&format!("{group}.{name}{parameters}"), value);
                self.line(&format!("{group}.X-ABLabel"), &escaped(label));
            }
        }
    }
}

/// Returns the type of a relation, where RFC 6350 has one.
fn relation(label: &str) -> Option<&'static str> {
    Some(match label {
        "Mother" | "Father" | "Parent" => "parent",
        "Brother" | "Sister" => "sibling",
        "Child" | "Son" | "Daughter" => "child",
        "Friend" => "friend",
        "Spouse" | "Partner" => "spouse",
        _ => return None,
    })
}

/// Joins the components of a value.
fn components(parts: &[&Option<String>]) -> String {
    let parts: Vec<String> = parts
        .iter()
        .map(|part| escaped(part.as_deref().unwrap_or_default()))
        .collect();
    parts.join(";").trim_end_matches(';').to_owned()
}

/// Returns a postal address: its seven components begin with a box and an extension that the phone
/// does not have.
fn address(address: &Address) -> String {
    let street = match (&address.street, &address.sublocality) {
        (Some(street), Some(part)) => Some(format!("{street}\n{part}")),
        (street, part) => street.clone().or_else(|| part.clone()),
    };
    let none = None;
    let parts = [
        &none,
        &none,
        &street,
        &address.city,
        &address.state,
        &address.zip,
        &address.country,
    ];
    let parts = parts.map(|part: &Option<String>| escaped(part.as_deref().unwrap_or_default()));
    parts.join(";")
}

/// Returns the address of a messenger's account, with a scheme.
fn messenger(account: &Account) -> String {
    let name = account.username.as_deref().unwrap_or_default();
    let service = account.service.as_deref().unwrap_or("x-im");
    let scheme: String = match service.to_lowercase().as_str() {
        "jabber" | "googletalk" => "xmpp".to_owned(),
        other => other.chars().filter(char::is_ascii_alphanumeric).collect(),
    };
    uri(&format!("{scheme}:{name}"))
}

/// Returns an address of the web as it is, without characters that would end the line.
fn uri(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).collect()
}

/// Returns the value of a parameter: only characters that need no quotes.
fn parameter(text: &str) -> String {
    text.chars()
        .filter(|c| c.is_ascii_alphanumeric() || *c == '-')
        .collect()
}

fn date(day: Day) -> String {
    match day.year {
        Some(year) => format!("{year:04}{:02}{:02}", day.month, day.day),
        None => format!("--{:02}{:02}", day.month, day.day),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::escape::LINE_BYTES_MAX;

    #[test]
    fn cards_are_folded_and_escaped() {
        let person = Person {
            name: "A;B, C\\".to_owned(),
            first: Some("BEGIN:VCARD\r\nEND:VCARD".to_owned()),
            note: Some("é".repeat(60)),
            birthday: Some(Day {
                year: None,
                month: 4,
                day: 12,
            }),
            numbers: vec![Labeled {
                label: Some("Büro\r\nX:y".to_owned()),
                value: "+1;ext=2\n".to_owned(),
            }],
            ..Person::default()
        };
        let card = card(&person, None);
        assert!(card.lines().all(|line| line.len() <= LINE_BYTES_MAX));
        assert_eq!(card.matches("\r\n").count(), card.matches('\n').count());
        let unfolded = card.replace("\r\n ", "");
        let lines: Vec<&str> = unfolded.lines().collect();
        assert_eq!(
            lines,
            [
                "BEGIN:VCARD",
                "VERSION:4.0",
                "FN:A\\;B\\, C\\\\",
                "N:;BEGIN:VCARD\\nEND:VCARD",
                "BDAY:--0412",
                "item1.TEL;VALUE=text:+1\\;ext=2\\n",
                "item1.X-ABLabel:Büro\\nX:y",
                &format!("NOTE:{}", "é".repeat(60)),
                "END:VCARD",
            ]
        );
    }
}
