//! Values that lockdown reports about the phone, by domain and key.

use plist::{Dictionary, Value};

use super::entry::mix;
use super::lockdown;
use super::phone::Phone;

/// Keys readable before a session begins; all others are prohibited.
const OPEN: [&str; 22] = [
    "BoardId",
    "BuildVersion",
    "ChipID",
    "CPUArchitecture",
    "DeviceClass",
    "DeviceColor",
    "DeviceEnclosureColor",
    "DeviceName",
    "DevicePublicKey",
    "HardwareModel",
    "HasSiDP",
    "IDAMCapable",
    "MobileDeviceMinimumVersion",
    "PasswordProtected",
    "ProductName",
    "ProductType",
    "ProductVersion",
    "ProtocolVersion",
    "SerialNumber",
    "UniqueChipID",
    "UniqueDeviceID",
    "WiFiAddress",
];

/// Returns a value, or all values of a domain.
pub(super) fn read(
    phone: &Phone,
    in_session: bool,
    domain: &str,
    key: Option<&str>,
) -> Result<Value, &'static str> {
    if !in_session && !domain.is_empty() {
        return Err("GetProhibited");
    }
    let mut values = domain_values(phone, domain);
    for ((of, key), value) in &super::lock(&phone.state).values {
        if of == domain {
            values.insert(key.clone(), value.clone());
        }
    }
    match key {
        Some(key) if !in_session && !OPEN.contains(&key) => Err("GetProhibited"),
        Some(key) => values.remove(key).ok_or("MissingValue"),
        None => {
            if !in_session {
                values.retain(|key, _| OPEN.contains(&key.as_str()));
            }
            Ok(Value::Dictionary(values))
        }
    }
}

fn domain_values(phone: &Phone, domain: &str) -> Dictionary {
    let config = &phone.config;
    match domain {
        "" => device(phone),
        "com.apple.mobile.backup" => super::dict([
            ("WillEncrypt", phone.keys().is_some().into()),
            (
                "RequiresEncryption",
                u64::from(config.requires_encryption).into(),
            ),
            ("CloudBackupEnabled", false.into()),
            ("Version", "2.0".into()),
        ]),
        "com.apple.mobile.battery" => super::dict([
            ("BatteryCurrentCapacity", u64::from(config.battery).into()),
            ("BatteryIsCharging", (config.battery >= 20).into()),
            ("ExternalChargeCapable", true.into()),
            ("ExternalConnected", true.into()),
            ("FullyCharged", (config.battery >= 100).into()),
            ("GasGaugeCapability", true.into()),
            ("HasBattery", true.into()),
        ]),
        "com.apple.disk_usage" => super::dict([
            ("TotalDiskCapacity", 256_000_000_000u64.into()),
            ("TotalDataCapacity", 247_983_448_064u64.into()),
            (
                "TotalDataAvailable",
                free_bytes(phone).saturating_add(209_715_200).into(),
            ),
            ("AmountDataReserved", 209_715_200u64.into()),
            ("AmountDataAvailable", free_bytes(phone).into()),
            ("TotalSystemCapacity", 8_016_551_936u64.into()),
            ("TotalSystemAvailable", 0u64.into()),
        ]),
        "com.apple.mobile.iTunes" => super::dict([
            ("MinITunesVersion", "12.13".into()),
            ("MinMacOSVersion", "13.0".into()),
            ("DBVersion", 5u64.into()),
            ("FamilyID", 10_094u64.into()),
            ("ScreenWidth", 1179u64.into()),
            ("ScreenHeight", 2556u64.into()),
        ]),
        "com.apple.iTunes" => super::dict([("LibraryApplications", Value::Array(Vec::new()))]),
        "com.apple.international" => super::dict([
            ("Language", "en".into()),
            ("Locale", "en_GB".into()),
            ("Keyboard", "en_GB".into()),
            (
                "SupportedLanguages",
                Value::Array(vec!["en".into(), "de".into(), "ja".into()]),
            ),
        ]),
        // A phone whose switch for Wi-Fi was never touched lacks the key `EnableWifiConnections`.
        "com.apple.mobile.wireless_lockdown" => {
            let wifi = super::lock(&phone.wifi).upgrade();
            let name = wifi.map(|wifi| wifi.advert_name()).unwrap_or_default();
            super::dict([("BonjourFullServiceName", name.into())])
        }
        "com.apple.mobile.data_sync" => {
            super::dict([("Contacts", Value::Dictionary(Dictionary::new()))])
        }
        "com.apple.purplebuddy" => super::dict([("SetupDone", (!config.setup_unfinished).into())]),
        "com.apple.fmip" => super::dict([("IsAssociated", config.find_my.into())]),
        "com.apple.mobile.software_behavior" => super::dict([("Valid", true.into())]),
        _ => Dictionary::new(),
    }
}

/// Returns the space in bytes that is free for apps and their data.
pub(super) fn free_bytes(phone: &Phone) -> u64 {
    let content = &phone.config.content;
    let used = u64::from(content.bulk) * content.bulk_size
        + u64::from(content.small) * content.small_size.end();
    let free = 247_773_732_864u64.saturating_sub(used);
    phone.config.free_bytes.unwrap_or(free)
}

fn device(phone: &Phone) -> Dictionary {
    let config = &phone.config;
    let number = mix(&[udid_number(phone)]);
    let digits = |salt: u64, count: usize| -> String {
        let mut text = format!("{:020}", mix(&[number, salt]));
        text.truncate(count);
        text
    };
    let mac = |salt: u64| mac(number, salt);
    let class = match config.model.split_once(|c: char| c.is_ascii_digit()) {
        Some((class, _)) => class.to_owned(),
        None => config.model.clone(),
    };
    let mut values = super::dict([
        ("ActivationState", "Activated".into()),
        ("BasebandStatus", "BBInfoAvailable".into()),
        ("BasebandVersion", "2.60.02".into()),
        ("BluetoothAddress", mac(2).into()),
        ("BoardId", 4u64.into()),
        ("BrickState", false.into()),
        ("BuildVersion", build_of(&config.ios).into()),
        ("CPUArchitecture", "arm64e".into()),
        ("ChipID", 33_072u64.into()),
        ("DeviceClass", class.into()),
        ("DeviceColor", "1".into()),
        ("DeviceEnclosureColor", "1".into()),
        ("DeviceName", config.name.as_str().into()),
        ("DieID", (number >> 8).into()),
        ("EthernetAddress", mac(3).into()),
        ("FirmwareVersion", "iBoot-11881.140.96".into()),
        ("HardwareModel", "D83AP".into()),
        ("HardwarePlatform", "t8130".into()),
        ("HostAttached", true.into()),
        (
            "HumanReadableProductVersionString",
            config.ios.as_str().into(),
        ),
        ("IDAMCapable", true.into()),
        ("IntegratedCircuitCardIdentity", digits(4, 19).into()),
        ("InternationalMobileEquipmentIdentity", digits(5, 15).into()),
        (
            "InternationalMobileEquipmentIdentity2",
            digits(6, 15).into(),
        ),
        (
            "InternationalMobileSubscriberIdentity",
            digits(7, 15).into(),
        ),
        ("MobileEquipmentIdentifier", digits(5, 14).into()),
        ("MobileDeviceMinimumVersion", "1744".into()),
        ("ModelNumber", "MTUW3".into()),
        ("PasswordProtected", phone.is_locked().into()),
        ("PhoneNumber", format!("+44 7700 {}", digits(8, 6)).into()),
        ("ProductName", "iPhone OS".into()),
        ("ProductType", config.model.as_str().into()),
        ("ProductVersion", config.ios.as_str().into()),
        ("ProtocolVersion", "2".into()),
        ("RegionInfo", "B/A".into()),
        ("SIMStatus", "kCTSIMSupportSIMStatusReady".into()),
        ("SerialNumber", serial(phone).into()),
        ("SupportedDeviceFamilies", Value::Array(vec![1u64.into()])),
        ("TelephonyCapability", true.into()),
        ("TimeIntervalSince1970", unix_now().into()),
        ("TimeZone", "Europe/London".into()),
        ("TimeZoneOffsetFromUTC", 0.0.into()),
        ("TrustedHostAttached", true.into()),
        ("UniqueChipID", (number >> 12).into()),
        ("UniqueDeviceID", phone.udid().as_str().into()),
        ("UseRaptorCerts", true.into()),
        ("Uses24HourClock", true.into()),
        ("WiFiAddress", wifi_mac(phone).into()),
    ]);
    if let Ok(key) = lockdown::device_key(phone) {
        values.insert("DevicePublicKey".into(), Value::Data(key.public_pem()));
    }
    values
}

fn mac(number: u64, salt: u64) -> String {
    let bytes = mix(&[number, salt]).to_be_bytes();
    let rest: Vec<String> = bytes[3..8].iter().map(|b| format!("{b:02x}")).collect();
    format!("a4:{}", rest.join(":"))
}

/// Returns the MAC of the phone's Wi-Fi.
pub(super) fn wifi_mac(phone: &Phone) -> String {
    mac(mix(&[udid_number(phone)]), 1)
}

fn udid_number(phone: &Phone) -> u64 {
    let bytes = phone.udid().as_str().bytes();
    bytes.fold(7, |sum: u64, b| {
        sum.wrapping_mul(31).wrapping_add(u64::from(b))
    })
}

/// Returns the serial number, which is derived from the UDID.
pub(super) fn serial(phone: &Phone) -> String {
    const LETTERS: &[u8] = b"0123456789CDFGHJKLMNPQRTVWXY";
    let mut rest = mix(&[udid_number(phone), 9]);
    let letters = (0..10).map(|_| {
        let letter = LETTERS[(rest % LETTERS.len() as u64) as usize];
        rest /= LETTERS.len() as u64;
        char::from(letter)
    });
    letters.collect()
}

/// Returns the build number of an iOS version; a real one if known.
pub(super) fn build_of(ios: &str) -> &'static str {
    match ios.split('.').next() {
        Some("26") => "23A341",
        Some("18") => "22G100",
        Some("17") => "21H16",
        Some("16") => "20H115",
        Some("15") => "19A404",
        _ => "18H17",
    }
}

fn unix_now() -> f64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.map_or(0.0, |d| d.as_secs_f64())
}
