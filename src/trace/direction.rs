//! The direction of a message between a computer and a phone.

/// Direction of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dir {
    /// `>`: sent by the computer.
    ToPhone,
    /// `<`: sent by the phone, or by the daemon in front of it.
    FromPhone,
}

impl Dir {
    /// Returns the sign that stands for the direction in a trace.
    pub fn sign(self) -> &'static str {
        match self {
            Dir::ToPhone => ">",
            Dir::FromPhone => "<",
        }
    }

    /// Returns the direction that the sign stands for.
    pub(super) fn parse(sign: &str) -> Option<Dir> {
        match sign {
            ">" => Some(Dir::ToPhone),
            "<" => Some(Dir::FromPhone),
            _ => None,
        }
    }
}
