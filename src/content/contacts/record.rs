//! The record of a person in the contacts.

use serde::Serialize;

use crate::content::Time;

/// A person or an organisation. Cards that the phone shows as one contact are one record.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Person {
    /// The rows of its cards in the database.
    pub ids: Vec<i64>,
    /// The phone's identifier of the first card.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub guid: Option<String>,
    /// The name to show: that of the person, else the nickname, the organisation or an address.
    pub name: String,
    /// True if the card is that of an organisation.
    pub is_organization: bool,
    /// The title before the name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// The given name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first: Option<String>,
    /// The middle name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub middle: Option<String>,
    /// The family name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last: Option<String>,
    /// The title after the name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suffix: Option<String>,
    /// The nickname.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nickname: Option<String>,
    /// The organisation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub organization: Option<String>,
    /// The department.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub department: Option<String>,
    /// The job title.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job_title: Option<String>,
    /// The birthday.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub birthday: Option<Day>,
    /// The note.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Telephone numbers, as they were typed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub numbers: Vec<Labeled>,
    /// Mail addresses.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mails: Vec<Labeled>,
    /// Addresses of pages.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub urls: Vec<Labeled>,
    /// Postal addresses.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<Address>,
    /// Anniversaries and other days.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub dates: Vec<LabeledDay>,
    /// Names of related people; the label is the relation.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub related: Vec<Labeled>,
    /// Accounts of messengers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub messengers: Vec<Account>,
    /// Accounts of social networks.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub profiles: Vec<Account>,
    /// Names of the groups that it belongs to.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// The time it was created.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created: Option<Time>,
    /// The time of the last change.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub modified: Option<Time>,
}

/// A value with a label, such as "Mobile".
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Labeled {
    /// The label, without the marks of a label of the phone's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// The value.
    pub value: String,
}

/// A postal address.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Address {
    /// The label.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// The street, in one or more lines.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub street: Option<String>,
    /// A part of the city.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sublocality: Option<String>,
    /// The city.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub city: Option<String>,
    /// The state or province.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// The postal code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zip: Option<String>,
    /// The country.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub country: Option<String>,
    /// The two letters of the country in ISO 3166, in lower case.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub country_code: Option<String>,
}

/// An account of a messenger or of a social network.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Account {
    /// The label.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// The name of the service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// The name of the account.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// The address of its page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
}

/// A day of the calendar, maybe without its year.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Day {
    /// The year.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub year: Option<i16>,
    /// The month, from 1.
    pub month: i8,
    /// The day, from 1.
    pub day: i8,
}

impl Day {
    /// Converts a time at noon in UTC. The year 1604 stands for no year: it is a leap year, so that
    /// it has all birthdays.
    pub(super) fn of(time: Time) -> Day {
        const NO_YEAR: i16 = 1604;
        let zoned = time.timestamp().to_zoned(jiff::tz::TimeZone::UTC);
        let date = zoned.date();
        Day {
            year: Some(date.year()).filter(|year| *year != NO_YEAR),
            month: date.month(),
            day: date.day(),
        }
    }
}

/// A day with a label.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LabeledDay {
    /// The label.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// The day.
    #[serde(flatten)]
    pub day: Day,
}

impl Person {
    /// Returns the name to show, from the fields that are there.
    pub(super) fn shown_name(&self) -> String {
        let parts = [
            &self.prefix,
            &self.first,
            &self.middle,
            &self.last,
            &self.suffix,
        ];
        let parts: Vec<&str> = parts.into_iter().flatten().map(String::as_str).collect();
        let first = |values: &[Labeled]| values.first().map(|one| one.value.clone());
        let whole = Some(parts.join(" ")).filter(|name| !name.is_empty());
        let of_person = whole.filter(|_| !self.is_organization || self.organization.is_none());
        of_person
            .or_else(|| self.organization.clone())
            .or_else(|| self.nickname.clone())
            .or_else(|| first(&self.mails))
            .or_else(|| first(&self.numbers))
            .unwrap_or_else(|| "No name".to_owned())
    }
}
