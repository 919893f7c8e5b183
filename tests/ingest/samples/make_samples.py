#!/usr/bin/env python3
"""Write the samples here that are not plain text: the same bytes each time, standard library only.

    python3 tests/ingest/samples/make_samples.py
"""
import os
import zipfile

HERE = os.path.dirname(os.path.abspath(__file__))
XML = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'


def write_zip(name, parts):
    """parts: (name, text) in order; the first is stored, as mimetype must be."""
    with zipfile.ZipFile(os.path.join(HERE, name), "w") as archive:
        for i, (part, text) in enumerate(parts):
            info = zipfile.ZipInfo(part, (2024, 1, 1, 0, 0, 0))
            info.external_attr = 0o644 << 16
            kind = zipfile.ZIP_STORED if i == 0 and part == "mimetype" else zipfile.ZIP_DEFLATED
            archive.writestr(info, text, kind)


# ---- Word ----

W = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'


def run(text):
    return f'<w:r><w:t xml:space="preserve">{text}</w:t></w:r>'


def paragraph(inside, properties=""):
    return f"<w:p><w:pPr>{properties}</w:pPr>{inside}</w:p>"


def list_item(text, level):
    return paragraph(run(text), f'<w:numPr><w:ilvl w:val="{level}"/><w:numId w:val="1"/></w:numPr>')


def cell(text):
    return f"<w:tc><w:tcPr/>{paragraph(run(text))}</w:tc>"


def docx():
    body = (
        paragraph(run("The boat") , '<w:pStyle w:val="Heading1"/>')
        + paragraph(run("It was ") + "<w:r><w:rPr><w:b/></w:rPr><w:t>cold</w:t></w:r>" + run(", ")
                    + '<w:del w:id="1"><w:r><w:delText>wet</w:delText></w:r></w:del>'
                    + '<w:ins w:id="2">' + run("windy") + "</w:ins>" + run(" &amp; late.")
                    + '<w:r><w:footnoteReference w:id="2"/></w:r>')
        + paragraph(run("We took:"))
        + list_item("rope", 0) + list_item("the thick one", 1) + list_item("tar", 0)
        + paragraph(run("Left") + "<w:r><w:tab/><w:t>right</w:t><w:br/><w:t>below</w:t></w:r>")
        + "<w:tbl><w:tblPr/><w:tr>" + cell("Part") + cell("Price") + "</w:tr><w:tr>" + cell("Tar")
        + cell("4") + "</w:tr></w:tbl>"
        + "<w:p/>"
        + paragraph('<w:r><w:fldChar w:fldCharType="begin"/></w:r><w:r><w:instrText>PAGE</w:instrText></w:r>'
                    '<w:hyperlink>' + run("The end.") + "</w:hyperlink>")
        + "<w:sectPr/>"
    )
    notes = (f'<w:footnote w:type="separator" w:id="-1">{paragraph("")}</w:footnote>'
             f'<w:footnote w:id="2">{paragraph("<w:r><w:footnoteRef/></w:r>" + run(" By an hour."))}</w:footnote>')
    types = ('<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
             '<Default Extension="xml" ContentType="application/xml"/></Types>')
    write_zip("letter.docx", [
        ("[Content_Types].xml", XML + types),
        ("word/document.xml", f"{XML}<w:document {W}><w:body>{body}</w:body></w:document>"),
        ("word/footnotes.xml", f"{XML}<w:footnotes {W}>{notes}</w:footnotes>"),
        ("word/header1.xml", f"{XML}<w:hdr {W}>{paragraph(run('Header'))}</w:hdr>"),
    ])


# ---- OpenDocument ----

ODF = ('xmlns:office="urn:oasis:names:tc:opendocument:xmlns:office:1.0" '
       'xmlns:text="urn:oasis:names:tc:opendocument:xmlns:text:1.0" '
       'xmlns:table="urn:oasis:names:tc:opendocument:xmlns:table:1.0"')
MANIFEST = ('<manifest:manifest xmlns:manifest="urn:oasis:names:tc:opendocument:xmlns:manifest:1.0">'
            '<manifest:file-entry manifest:full-path="/" manifest:media-type="x"/></manifest:manifest>')


def odt():
    body = (
        '<text:sequence-decls/><text:h text:outline-level="1">The boat</text:h>'
        "<text:p>It was <text:span>cold</text:span>,<text:s/>windy &amp; late.<text:note><text:note-citation>1"
        "</text:note-citation><text:note-body><text:p>By an hour.</text:p></text:note-body></text:note></text:p>"
        "<text:p>We took:</text:p><text:list><text:list-item><text:p>rope</text:p><text:list><text:list-item>"
        "<text:p>the thick one</text:p></text:list-item></text:list></text:list-item>"
        "<text:list-item><text:p>tar</text:p></text:list-item></text:list>"
        "<text:p>Left<text:tab/>right<text:line-break/>below</text:p>"
        "<table:table><table:table-row><table:table-cell><text:p>Part</text:p></table:table-cell>"
        "<table:table-cell><text:p>Price</text:p></table:table-cell></table:table-row></table:table>"
        "<text:p><office:annotation><text:p>a comment</text:p></office:annotation>The end.</text:p>"
    )
    write_zip("letter.odt", [
        ("mimetype", "application/vnd.oasis.opendocument.text"),
        ("content.xml", f"{XML}<office:document-content {ODF}><office:body><office:text>{body}</office:text>"
                        "</office:body></office:document-content>"),
        ("META-INF/manifest.xml", XML + MANIFEST),
    ])


def ods():
    def row(*cells):
        return "<table:table-row>" + "".join(cells) + "</table:table-row>"

    def text(value, repeat=1):
        more = f' table:number-columns-repeated="{repeat}"' if repeat > 1 else ""
        return (f'<table:table-cell office:value-type="string"{more}><text:p>{value}</text:p></table:table-cell>')

    def day(value):
        return (f'<table:table-cell office:value-type="date" office:date-value="{value}"><text:p>03/01/24</text:p>'
                "</table:table-cell>")

    def number(value, shown):
        return (f'<table:table-cell office:value-type="float" office:value="{value}"><text:p>{shown}</text:p>'
                "</table:table-cell>")

    rest = '<table:table-cell table:number-columns-repeated="1020"/>'
    body = (
        '<table:table table:name="Sleep">'
        + row(text("date"), text("hours"), text("mood"), rest)
        + row(day("2024-03-01"), number(7.25, "7.3"), text("calm"), rest)
        + row(day("2024-03-02"), '<table:table-cell/>', text("tired"), rest)
        + '<table:table-row table:number-rows-repeated="1048570"><table:table-cell '
          'table:number-columns-repeated="1024"/></table:table-row></table:table>'
    )
    write_zip("sleep.ods", [
        ("mimetype", "application/vnd.oasis.opendocument.spreadsheet"),
        ("content.xml", f"{XML}<office:document-content {ODF}><office:body><office:spreadsheet>{body}"
                        "</office:spreadsheet></office:body></office:document-content>"),
        ("META-INF/manifest.xml", XML + MANIFEST),
    ])


# ---- Excel ----

S = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
R = 'xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships"'


def xlsx():
    sheet = (
        '<row r="1"><c r="A1" t="s"><v>0</v></c><c r="B1" t="s"><v>1</v></c><c r="D1" t="s"><v>2</v></c>'
        '<c r="C1" t="inlineStr"><is><t>note</t></is></c></row>'
        '<row r="2"><c r="A2" s="1"><v>45352</v></c><c r="B2"><v>7.2000000000000002</v></c>'
        '<c r="D2" t="b"><v>1</v></c></row>'
        '<row r="4"><c r="A4" s="2"><v>45353.5</v></c><c r="B4" t="e"><v>#N/A</v></c>'
        '<c r="C4" t="s"><v>3</v></c><c r="D4" t="b"><v>0</v></c></row>'
    )
    strings = ("<si><t>day</t></si><si><t>hours</t></si><si><t>walked</t></si>"
               "<si><r><t>woke </t></r><r><rPr><b/></rPr><t>early</t></r><rPh sb='0' eb='1'><t>x</t></rPh></si>")
    styles = ('<numFmts count="1"><numFmt numFmtId="164" formatCode="[$-409]d\\ mmm\\ yyyy\\ hh:mm"/></numFmts>'
              '<cellXfs count="3"><xf numFmtId="0"/><xf numFmtId="14"/><xf numFmtId="164"/></cellXfs>')
    relations = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    write_zip("sleep.xlsx", [
        ("[Content_Types].xml", XML + '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"/>'),
        ("xl/workbook.xml", f'{XML}<workbook {S} {R}><sheets><sheet name="Nights" sheetId="1" r:id="rId7"/>'
                            "</sheets></workbook>"),
        ("xl/_rels/workbook.xml.rels",
         f'{XML}<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship '
         f'Id="rId7" Type="{relations}/worksheet" Target="worksheets/sheet1.xml"/></Relationships>'),
        ("xl/worksheets/sheet1.xml", f"{XML}<worksheet {S}><sheetData>{sheet}</sheetData></worksheet>"),
        ("xl/sharedStrings.xml", f'{XML}<sst {S} count="4" uniqueCount="4">{strings}</sst>'),
        ("xl/styles.xml", f"{XML}<styleSheet {S}>{styles}</styleSheet>"),
    ])


# ---- Apple Health, as the telephone packs it ----

def health():
    with open(os.path.join(HERE, "export.xml"), encoding="utf-8") as file:
        text = file.read()
    write_zip("export.zip", [("apple_health_export/export_cda.xml", "<ClinicalDocument/>\n"),
                             ("apple_health_export/export.xml", text)])


# ---- EPUB ----

def chapter(title, body):
    return ('<?xml version="1.0" encoding="utf-8"?>\n<!DOCTYPE html>\n<html xmlns="http://www.w3.org/1999/xhtml">'
            f"<head><title>{title}</title></head><body><h1>{title}</h1>{body}</body></html>")


def epub():
    package = (
        '<?xml version="1.0"?><package xmlns="http://www.idpf.org/2007/opf" version="3.0"><manifest>'
        '<item id="nav" href="nav.xhtml" media-type="application/xhtml+xml" properties="nav"/>'
        '<item id="c2" href="text/two%20b.xhtml" media-type="application/xhtml+xml"/>'
        '<item id="c1" href="text/one.xhtml" media-type="application/xhtml+xml"/>'
        '<item id="css" href="style.css" media-type="text/css"/></manifest>'
        '<spine><itemref idref="nav"/><itemref idref="c1"/><itemref idref="c2"/>'
        '<itemref idref="gone"/></spine></package>'
    )
    container = ('<?xml version="1.0"?><container xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles>'
                 '<rootfile full-path="OEBPS/book.opf" media-type="application/oebps-package+xml"/></rootfiles>'
                 "</container>")
    write_zip("book.epub", [
        ("mimetype", "application/epub+zip"),
        ("META-INF/container.xml", container),
        ("OEBPS/book.opf", package),
        ("OEBPS/nav.xhtml", chapter("Contents", "<ol><li>One</li></ol>")),
        ("OEBPS/text/two b.xhtml", chapter("Two", "<p>They came <em>home</em>.</p>")),
        ("OEBPS/text/one.xhtml", chapter("One", "<p>They left at&#160;dawn &mdash; early.</p><p>Nobody saw.</p>")),
    ])


# ---- PDF ----

def write_pdf(name, pages, extra=""):
    """pages: lists of (x, y, size, text)."""
    objects = ["<< /Type /Catalog /Pages 2 0 R >>",
               "<< /Type /Pages /Kids [%s] /Count %d >>"
               % (" ".join(f"{4 + 2 * i} 0 R" for i in range(len(pages))), len(pages)),
               "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>"]
    for i, lines in enumerate(pages):
        stream = "\n".join("BT /F1 %g Tf %g %g Td (%s) Tj ET" % (size, x, y, text) for x, y, size, text in lines)
        objects.append("<< /Type /Page /Parent 2 0 R /MediaBox [0 0 420 595] /Contents %d 0 R "
                       "/Resources << /Font << /F1 3 0 R >> >> >>" % (5 + 2 * i))
        objects.append("<< /Length %d >>\nstream\n%s\nendstream" % (len(stream), stream))
    out = "%PDF-1.4\n"
    offsets = []
    for i, body in enumerate(objects):
        offsets.append(len(out))
        out += f"{i + 1} 0 obj\n{body}\nendobj\n"
    start = len(out)
    out += f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n"
    out += "".join(f"{offset:010d} 00000 n \n" for offset in offsets)
    out += f"trailer\n<< /Size {len(objects) + 1} /Root 1 0 R {extra}>>\nstartxref\n{start}\n%%EOF\n"
    with open(os.path.join(HERE, name), "wb") as file:
        file.write(out.encode("latin-1"))


def pdf():
    def page(number, *lines):
        return ([(60, 560, 8, "The Harbour Log")] + list(lines) + [(205, 30, 8, str(number))])

    write_pdf("paper.pdf", [
        page(1, (60, 520, 18, "On boats"),
             (60, 490, 10, "The boat had been standing in the yard since the great storm, and no-"),
             (60, 478, 10, "body had looked after it. So the wood was dry, the paint was com-"),
             (60, 466, 10, "ing off, and the mice had moved in."),
             (72, 454, 10, "In spring we began to mend it. We had little money and much time,"),
             (60, 442, 10, "which is the best way."),
             (60, 418, 10, "\x95 tar"), (60, 406, 10, "\x95 rope, and a lot of it, because the old one was rotten through"),
             (72, 394, 10, "and through")),
        page(2, (60, 520, 10, "By the end of May it floated, to the wonder of all who had come to"),
             (60, 508, 10, "see it sink, and we were very proud of it and of all the work that we")),
        page(3, (60, 520, 10, "had done."), (60, 490, 10, "The end.")),
    ])
    write_pdf("scan.pdf", [[], []])
    write_pdf("locked.pdf", [[(60, 520, 10, "secret")]],
              "/Encrypt << /Filter /Standard /V 1 /R 2 /P -4 /O <%s> /U <%s> >> /ID [<00> <00>] "
              % ("41" * 32, "42" * 32))


if __name__ == "__main__":
    docx()
    odt()
    ods()
    xlsx()
    health()
    epub()
    pdf()
