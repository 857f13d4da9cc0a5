package io.epidote.engine.image;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.Optional;
import java.util.stream.Collectors;

/** The formats that are read, told by their first bytes and never by a name or a media type. */
enum ImageFormat {
  PNG("PNG", "png"),
  JPEG("JPEG", "jpeg"),
  GIF("GIF", "gif"),
  BMP("BMP", "bmp"),
  WEBP("WebP", "webp");

  private static final int LOOK_AT = 16;

  private final String label;
  private final String readerName;

  ImageFormat(String label, String readerName) {
    this.label = label;
    this.readerName = readerName;
  }

  /** As people write it. */
  String label() {
    return label;
  }

  /** As ImageIO knows its readers. */
  String readerName() {
    return readerName;
  }

  static String labels() {
    return Arrays.stream(values()).map(ImageFormat::label).collect(Collectors.joining(", "));
  }

  static Optional<ImageFormat> of(ByteBuffer file) {
    String head = head(file);
    if (head.startsWith("\u0089PNG\r\n\u001a\n")) {
      return Optional.of(PNG);
    }
    if (head.startsWith("\u00ff\u00d8\u00ff")) {
      return Optional.of(JPEG);
    }
    if (head.startsWith("GIF87a") || head.startsWith("GIF89a")) {
      return Optional.of(GIF);
    }
    if (head.startsWith("BM")) {
      return Optional.of(BMP);
    }
    if (head.startsWith("RIFF") && head.startsWith("WEBP", 8)) {
      return Optional.of(WEBP);
    }
    return Optional.empty();
  }

  /** What bytes that are none of these formats seem to be, for an error's reader. */
  static String describe(ByteBuffer file) {
    String head = head(file);
    String bytes = HexFormat.ofDelimiter(" ").formatHex(head.getBytes(StandardCharsets.ISO_8859_1));
    return "it begins with the bytes %s, which look like %s".formatted(bytes, guess(head));
  }

  private static String guess(String head) {
    String start = head.strip();
    if (start.startsWith("%PDF")) {
      return "a PDF";
    }
    if (start.startsWith("<svg") || start.startsWith("<?xml")) {
      return "SVG or XML";
    }
    if (start.startsWith("<")) {
      return "HTML";
    }
    if (start.startsWith("{") || start.startsWith("[")) {
      return "JSON";
    }
    if (start.startsWith("data:")) {
      return "a data: URI that was not decoded";
    }
    if (head.startsWith("II*\0") || head.startsWith("MM\0*")) {
      return "TIFF";
    }
    if (head.startsWith("ftyp", 4)) {
      return "HEIC, AVIF or a video";
    }
    if (head.startsWith("PK\u0003\u0004")) {
      return "a ZIP archive";
    }
    if (head.startsWith("\u001f\u008b")) {
      return "gzip";
    }
    boolean printable = head.chars().allMatch(c -> c >= ' ' && c < 0x7f || c == '\n' || c == '\t');
    return printable ? "text" : "no picture that is known";
  }

  /** The first bytes, one char each. */
  private static String head(ByteBuffer file) {
    byte[] head = new byte[Math.min(LOOK_AT, file.remaining())];
    file.get(file.position(), head);
    return new String(head, StandardCharsets.ISO_8859_1);
  }
}
