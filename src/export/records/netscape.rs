//! Writes bookmarks as the file that browsers import: Netscape's format, which Microsoft's page
//! about the file format of bookmarks describes (ie-developer/platform-apis/aa753582).

use crate::content::safari::Bookmark;
use crate::export::record_file::RecordFile;
use crate::export::{Error, escape};

/// A file of bookmarks that is being written.
pub(super) struct Bookmarks {
    file: RecordFile,
    /// The folders that are open.
    open: Vec<String>,
}

impl Bookmarks {
    pub(super) fn begin(mut file: RecordFile) -> Result<Bookmarks, Error> {
        file.write(
            "<!DOCTYPE NETSCAPE-Bookmark-file-1>\n\
             <META HTTP-EQUIV=\"Content-Type\" CONTENT=\"text/html; charset=UTF-8\">\n\
             <META HTTP-EQUIV=\"Content-Security-Policy\" CONTENT=\"default-src 'none'\">\n\
             <TITLE>Bookmarks</TITLE>\n<H1>Bookmarks</H1>\n<DL><p>\n",
        )?;
        let open = Vec::new();
        Ok(Bookmarks { file, open })
    }

    pub(super) fn add(&mut self, bookmark: &Bookmark) -> Result<(), Error> {
        let common = self
            .open
            .iter()
            .zip(&bookmark.folders)
            .take_while(|(open, folder)| open == folder)
            .count();
        self.close_to(common)?;
        for folder in &bookmark.folders[common..] {
            let name = line(folder);
            self.file
                .write(&format!("<DT><H3>{name}</H3>\n<DL><p>\n"))?;
            self.open.push(folder.clone());
        }
        let title = line(bookmark.title.as_deref().unwrap_or(&bookmark.url));
        let date = bookmark.modified.map(|time| time.seconds());
        let date = date.map(|seconds| format!(" LAST_MODIFIED=\"{seconds}\""));
        let entry = format!(
            "<DT><A HREF=\"{}\"{}>{title}</A>\n",
            line(&address(&bookmark.url)),
            date.unwrap_or_default()
        );
        self.file.write(&entry)
    }

    fn close_to(&mut self, depth: usize) -> Result<(), Error> {
        while self.open.len() > depth {
            self.open.pop();
            self.file.write("</DL><p>\n")?;
        }
        Ok(())
    }

    pub(super) fn finish(mut self) -> Result<(), Error> {
        self.close_to(0)?;
        self.file.write("</DL><p>\n")?;
        self.file.finish()
    }
}

/// Returns a text in one line of HTML.
fn line(text: &str) -> String {
    escape::html(text).replace(['\n', '\t'], " ")
}

/// Returns an address. Scripts are bookmarks too, but a link of the page must not run one, so they
/// become links that do nothing.
fn address(url: &str) -> String {
    let scheme: String = url
        .chars()
        .filter(|c| !c.is_whitespace() && !c.is_control())
        .take_while(|c| *c != ':')
        .collect();
    if ["javascript", "data", "vbscript"].contains(&scheme.to_ascii_lowercase().as_str()) {
        format!("about:blank#{}", escape::link(url))
    } else {
        url.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::address;

    #[test]
    fn scripts_do_not_run() {
        for (url, safe) in [
            ("https://example.com/?a=b:c", "https://example.com/?a=b:c"),
            (
                "JavaScript:alert(1)",
                "about:blank#JavaScript%3Aalert%281%29",
            ),
            (" java\nscript:x", "about:blank#%20java%0Ascript%3Ax"),
            ("data:text/html,x", "about:blank#data%3Atext/html%2Cx"),
        ] {
            assert_eq!(address(url), safe);
        }
    }
}
