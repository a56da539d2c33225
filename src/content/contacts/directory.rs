//! Finds the name of a person by a telephone number or a mail address.

use std::collections::HashMap;

use crate::content::contacts::{Person, Region, international};

/// The names of all addresses.
#[derive(Debug, Default)]
pub struct Directory {
    home: Option<Region>,
    /// Names by numbers in the international form, by other numbers as digits, and by mail
    /// addresses in lower case.
    names: HashMap<String, String>,
}

impl Directory {
    pub(super) fn of(people: &[Person], home: Option<Region>) -> Directory {
        let mut directory = Directory {
            home,
            names: HashMap::new(),
        };
        for person in people {
            let addresses = person.numbers.iter().chain(&person.mails);
            for address in addresses {
                let key = directory.key(&address.value, None);
                // If several people share an address, the first one has it.
                directory
                    .names
                    .entry(key)
                    .or_insert_with(|| person.name.clone());
            }
        }
        directory.names.remove("");
        directory
    }

    /// Returns the name for an address. `country` is that of a number without a country code, in
    /// two letters of ISO 3166.
    pub fn name(&self, address: &str, country: Option<&str>) -> Option<&str> {
        let region = country.and_then(Region::of_country);
        self.names
            .get(&self.key(address, region))
            .map(String::as_str)
    }

    fn key(&self, address: &str, region: Option<Region>) -> String {
        if address.contains('@') {
            return address.trim().to_lowercase();
        }
        match international(address, region.or(self.home)) {
            Some(number) => number,
            // A short number, or a name.
            None => address
                .chars()
                .filter(|c| c.is_alphanumeric())
                .flat_map(char::to_lowercase)
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content::contacts::Labeled;

    fn person(name: &str, numbers: &[&str], mails: &[&str]) -> Person {
        let labeled = |values: &[&str]| {
            let values = values.iter().map(|value| Labeled {
                label: None,
                value: (*value).to_owned(),
            });
            values.collect()
        };
        Person {
            name: name.to_owned(),
            numbers: labeled(numbers),
            mails: labeled(mails),
            ..Person::default()
        }
    }

    #[test]
    fn names_are_found_by_region() {
        let people = [
            person("Ana", &["+44 7700 900123"], &["Ana@Example.com "]),
            person("Nur", &["07700 900456", "62966"], &[]),
            person("Robert", &["+1 (415) 555-0134"], &[]),
            person("Empty", &["", "-"], &[""]),
        ];
        let directory = Directory::of(&people, Region::of_country("gb"));
        for (address, country, name) in [
            ("+447700900123", Some("gb"), Some("Ana")),
            ("07700900123", None, Some("Ana")),
            ("ana@example.com", None, Some("Ana")),
            ("+447700900456", Some("gb"), Some("Nur")),
            ("62966", Some("gb"), Some("Nur")),
            ("(415) 555-0134", Some("us"), Some("Robert")),
            // The last eight digits are Robert's, but the country is another one.
            ("+447415550134", Some("gb"), None),
            ("(415) 555-0134", None, None),
            ("+497700900456", Some("de"), None),
            ("", None, None),
            ("-", None, None),
        ] {
            assert_eq!(directory.name(address, country), name, "{address}");
        }
        // Without a country, a national number is the number of its digits only.
        let nowhere = Directory::of(&people, None);
        assert_eq!(nowhere.name("+447700900456", Some("gb")), None);
        assert_eq!(nowhere.name("07700 900456", None), Some("Nur"));
    }
}
