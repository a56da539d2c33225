//! The people that the owner of the simulated phone knows. Their numbers are reserved for fiction:
//! by Ofcom (07700 900xxx, 020 7946 0xxx), by the North American Numbering Plan (555-01xx) and by
//! the Bundesnetzagentur (0171 39200xx, 030 23125xxx).

/// A person.
#[derive(Debug)]
pub(super) struct Person {
    /// The address that Messages uses.
    pub(super) address: &'static str,
    /// The country of the address.
    pub(super) country: &'static str,
    /// The name in the contacts; empty if they do not have the person.
    pub(super) name: &'static str,
}

pub(super) const ANA: &Person = &Person {
    address: "+447700900123",
    country: "gb",
    name: "Ana Größe",
};
pub(super) const JUN: &Person = &Person {
    address: "jun@example.com",
    country: "gb",
    name: "Jun 写真",
};
/// A name from right to left, and a number that the contacts have without its country.
pub(super) const NUR: &Person = &Person {
    address: "+447700900456",
    country: "gb",
    name: "نور الهدى",
};
/// A name that would be code in a page, a table or a card.
pub(super) const ROBERT: &Person = &Person {
    address: "+14155550134",
    country: "us",
    name: "=HYPERLINK(\"http://example.com/\") <script>alert('contact')</script>",
};
/// A person with two cards, one for each account.
pub(super) const JOERG: &Person = &Person {
    address: "+491713920012",
    country: "de",
    name: "Dr. Jörg Müller-Lüdenscheidt",
};
/// In no contact. The last eight digits are those of another person's number.
pub(super) const STRANGER: &Person = &Person {
    address: "+447415550134",
    country: "gb",
    name: "",
};
/// A company that sends SMS under a name.
pub(super) const COMPANY: &Person = &Person {
    address: "EXAMPLE-CO",
    country: "gb",
    name: "",
};
