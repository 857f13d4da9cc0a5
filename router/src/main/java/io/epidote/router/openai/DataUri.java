package io.epidote.router.openai;

import com.google.protobuf.ByteString;
import com.google.protobuf.UnsafeByteOperations;
import io.epidote.router.request.InvalidField;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.Base64;
import java.util.Locale;

/** Media inside a request: {@code data:image/png;base64,…}. */
final class DataUri {
  private static final String EXPECTED =
      "expected a data: URI with base64, for example data:image/png;base64,iVBORw0…";

  private DataUri() {}

  /**
   * Decodes the bytes.
   *
   * @param path of the field, for messages
   * @throws InvalidField when it is another URI, or not base64
   */
  static ByteString decode(String uri, String path) {
    if (!uri.regionMatches(true, 0, "data:", 0, 5)) {
      boolean web =
          uri.regionMatches(true, 0, "http:", 0, 5) || uri.regionMatches(true, 0, "https:", 0, 6);
      throw new InvalidField(
          path,
          (web
                  ? "is a web address; this router fetches nothing and accepts only data: URIs; "
                  : "is no data: URI; ")
              + EXPECTED);
    }
    int comma = uri.indexOf(',');
    String header =
        comma < 0 ? "" : uri.substring(5, Math.min(comma, 200)).toLowerCase(Locale.ROOT);
    if (!header.endsWith(";base64")) {
      throw new InvalidField(path, "is a data: URI without base64; " + EXPECTED);
    }
    // One byte for each character: a character beyond Latin-1 becomes '?', which is not base64.
    byte[] ascii = uri.getBytes(StandardCharsets.ISO_8859_1);
    try {
      ByteBuffer decoded =
          Base64.getDecoder().decode(ByteBuffer.wrap(ascii, comma + 1, ascii.length - comma - 1));
      return UnsafeByteOperations.unsafeWrap(decoded);
    } catch (IllegalArgumentException e) {
      throw new InvalidField(
          path, "is not valid base64 (%s); %s".formatted(e.getMessage(), EXPECTED));
    }
  }
}
