//! Telephone numbers by the rules of their country: the country code, the prefix of national calls
//! and that of international calls.
//!
//! The table is made from the metadata of libphonenumber (Apache-2.0, release 9). It is for
//! comparing numbers, not for checking them: any digits behind a country code are a number.

/// Rules that several countries share: the prefix before a national number, the prefix before an
/// international one, and each country with its code.
const RULES: &[(&str, &str, &str)] = &[
    (
        "0",
        "00",
        "ae971 af93 al355 am374 ar54 at43 ax358 az994 ba387 bd880 be32 bg359 bl590 bo591 br55 cd243 ch41 cn86 co57 \
         de49 dz213 ec593 eg20 eh212 er291 et251 fi358 fr33 gb44 ge995 gf594 gg44 gh233 gp590 hr385 id62 ie353 il972 \
         im44 in91 iq964 ir98 je44 jo962 kg996 kh855 ki686 kp850 kr82 la856 lb961 li423 lk94 lr231 lt370 ly218 ma212 \
         mc377 md373 me382 mf590 mg261 mk389 mm95 mq596 mw265 my60 na264 nl31 np977 nz64 pe51 ph63 pk92 pm508 ps970 \
         py595 re262 ro40 rs381 rw250 sa966 sd249 se46 si386 sk421 sl232 so252 ss211 sy963 th66 tr90 tw886 ua380 \
         uy598 ve58 vn84 xk383 ye967 yt262 za27 zm260 zw263",
    ),
    (
        "",
        "00",
        "ac247 ad376 ao244 aw297 bf226 bh973 bi257 bj229 bn673 bq599 bt975 bw267 bz501 cf236 cg242 ci225 ck682 cl56 \
         cm237 cr506 cw599 cy357 cz420 dj253 dk45 ee372 es34 fj679 fk500 fm691 fo298 ga241 gi350 gl299 gm220 gn224 \
         gq240 gr30 gt502 gw245 hn504 ht509 io246 is354 it39 km269 kw965 ls266 lu352 lv371 ml223 mo853 mr222 mt356 \
         mv960 mx52 mz258 nc687 ne227 nf672 ni505 no47 nr674 nu683 om968 pa507 pf689 pg675 pl48 pt351 qa974 sb677 \
         sc248 sg65 sh290 sj47 sm378 sn221 sr597 st239 sv503 sz268 ta290 td235 tg228 tk690 tl670 tn216 to676 tv688 \
         uz998 va39 vu678 wf681",
    ),
    (
        "1",
        "011",
        "us1 ca1 ag1 ai1 as1 bb1 bm1 bs1 dm1 do1 gd1 gu1 jm1 kn1 ky1 lc1 mh692 mp1 ms1 pr1 sx1 tc1 tt1 vc1 vg1 vi1",
    ),
    ("8", "810", "ru7 by375 kz7 tm993"),
    ("0", "0011", "au61 cc61 cx61"),
    ("0", "000", "ke254 tz255 ug256"),
    ("", "0", "cv238 ws685"),
    ("", "001", "gy592 hk852"),
    ("0", "119", "cu53"),
    ("06", "00", "hu36"),
    ("0", "010", "jp81"),
    ("0", "001", "mn976"),
    ("", "020", "mu230"),
    ("0", "009", "ng234"),
    ("", "01", "pw680"),
    ("", "810", "tj992"),
];
/// The fewest digits of a number that can have a country. Shorter ones are services of a carrier.
const DIGITS_MIN: usize = 6;

/// A country with its rules for telephone numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Region {
    code: &'static str,
    trunk: &'static str,
    international: &'static str,
}

impl Region {
    /// Finds a country by its two letters of ISO 3166, in lower or upper case.
    pub fn of_country(country: &str) -> Option<Region> {
        let country = country.to_ascii_lowercase();
        regions().find_map(|(name, region)| (name == country).then_some(region))
    }

    /// Finds the country of a number that begins with a plus sign and the country code. Countries
    /// with the same code have the same rules.
    pub fn of_number(number: &str) -> Option<Region> {
        let digits = number.strip_prefix('+')?;
        regions()
            .map(|(_, region)| region)
            .find(|region| digits.starts_with(region.code))
    }
}

/// Returns all countries with their names. No country code begins with another one.
fn regions() -> impl Iterator<Item = (&'static str, Region)> {
    RULES.iter().flat_map(|(trunk, international, countries)| {
        countries.split_whitespace().map(|country| {
            let (name, code) = country.split_at(2);
            let region = Region {
                code,
                trunk,
                international,
            };
            (name, region)
        })
    })
}

/// Returns a number in the international form, `+447700900123`, however it was typed. A national
/// number belongs to the region. Returns `None` for text that is not a number, for short numbers,
/// and for a national number without a region.
pub fn international(typed: &str, region: Option<Region>) -> Option<String> {
    // A pause or an extension ends the number that is dialled.
    let dialled = typed.split([',', ';', '#', 'x', 'X']).next()?;
    if dialled.chars().any(char::is_alphabetic) {
        return None;
    }
    let mut digits: String = dialled
        .chars()
        .filter_map(|c| c.to_digit(10).and_then(|digit| char::from_digit(digit, 10)))
        .collect();
    let plus = dialled.trim_start_matches(|c: char| !c.is_ascii_digit() && !is_plus(c));
    let is_international = plus.starts_with(is_plus);
    if is_international {
        // "+44 (0)7700 900123" has both prefixes.
        let number = format!("+{digits}");
        if let Some(region) = Region::of_number(&number)
            && !region.trunk.is_empty()
            && dialled.contains(&format!("({})", region.trunk))
            && let Some(rest) = number[1 + region.code.len()..].strip_prefix(region.trunk)
        {
            digits = format!("{}{rest}", region.code);
        }
    } else if let Some(rest) = digits
        .strip_prefix(region.map_or("00", |region| region.international))
        .filter(|rest| !rest.starts_with('0'))
    {
        digits = rest.to_owned();
    } else {
        let region = region?;
        if digits.len() < DIGITS_MIN {
            return None;
        }
        // A national number of North America or Russia has ten digits, and can begin with the digit
        // that is also the prefix.
        let has_trunk = region.code.len() > 1 || digits.len() > 10;
        let national = digits
            .strip_prefix(region.trunk)
            .filter(|_| has_trunk)
            .unwrap_or(&digits);
        digits = format!("{}{national}", region.code);
    }
    (digits.len() >= DIGITS_MIN).then(|| format!("+{digits}"))
}

fn is_plus(c: char) -> bool {
    matches!(c, '+' | '\u{ff0b}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_country_code_begins_with_another() {
        let codes: Vec<&str> = regions().map(|(_, region)| region.code).collect();
        assert_eq!(codes.len(), 245);
        for one in &codes {
            for other in &codes {
                assert!(one == other || !one.starts_with(other), "{one} {other}");
            }
        }
    }

    #[test]
    fn numbers_are_compared_by_region() {
        for (country, typed, expected) in [
            ("gb", "07700 900123", Some("+447700900123")),
            ("gb", "+44 (0)7700 900-123", Some("+447700900123")),
            ("gb", "0044 7700 900123", Some("+447700900123")),
            (
                "gb",
                "\u{202a}+44 7700 900123\u{202c}",
                Some("+447700900123"),
            ),
            ("de", "0171 39 20 012", Some("+491713920012")),
            ("de", "07700 900123", Some("+497700900123")),
            ("us", "(415) 555-0134", Some("+14155550134")),
            ("us", "1-415-555-0134", Some("+14155550134")),
            ("us", "011 44 7700 900123", Some("+447700900123")),
            ("us", "+1 415 555 0134,,123#", Some("+14155550134")),
            ("us", "+1 415 555 0134 x12", Some("+14155550134")),
            // Italy keeps the zero, Hungary and Russia have prefixes of their own.
            ("it", "06 1234567", Some("+39061234567")),
            ("hu", "06 20 123 4567", Some("+36201234567")),
            ("ru", "8 (916) 123-45-67", Some("+79161234567")),
            ("ru", "+7 916 123-45-67", Some("+79161234567")),
            ("ru", "812 123-45-67", Some("+78121234567")),
            ("au", "0011 44 7700 900123", Some("+447700900123")),
            ("gb", "62966", None),
            ("gb", "EXAMPLE-CO", None),
            ("gb", "", None),
            ("gb", "٠٧٧٠٠ ٩٠٠١٢٣", None),
        ] {
            let region = Region::of_country(country);
            assert!(region.is_some());
            let got = international(typed, region);
            assert_eq!(got.as_deref(), expected, "{country} {typed}");
        }
        assert_eq!(international("07700 900123", None), None);
        let abroad = international("00447700900123", None);
        assert_eq!(abroad.as_deref(), Some("+447700900123"));
        assert_eq!(Region::of_country("xx"), None);
        // Two numbers with the same last eight digits.
        let (us, gb) = (
            Region::of_number("+14155550134"),
            Region::of_number("+447415550134"),
        );
        assert!(us.is_some() && gb.is_some() && us != gb);
    }
}
