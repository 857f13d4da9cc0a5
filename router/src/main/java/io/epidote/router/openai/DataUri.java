package io.epidote.router.openai;

import com.google.protobuf.ByteString;
import com.google.protobuf.UnsafeByteOperations;
import io.epidote.router.request.InvalidField;
import io.epidote.router.request.MediaInput;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Base64;
import java.util.List;
import java.util.Locale;

/** Media inside a request: {@code data:image/png;base64,…}. */
final class DataUri {
  private static final String PICTURE =
      "expected a data: URI with base64, for example data:image/png;base64,iVBORw0…";
  private static final String VIDEO =
      "expected data:video/jpeg;base64,FRAME1,FRAME2,… (each a JPEG file), or data:image/gif;base64,…";

  private final String path;
  private final String expected;
  private final String mediaType;
  private final byte[] ascii;
  private final int start;

  private DataUri(String uri, String path, String expected) {
    this.path = path;
    this.expected = expected;
    if (!uri.regionMatches(true, 0, "data:", 0, 5)) {
      boolean web =
          uri.regionMatches(true, 0, "http:", 0, 5) || uri.regionMatches(true, 0, "https:", 0, 6);
      throw wrong(
          web
              ? "is a web address; this router fetches nothing and accepts only data: URIs"
              : "is no data: URI");
    }
    int comma = uri.indexOf(',');
    String header =
        comma < 0 ? "" : uri.substring(5, Math.min(comma, 200)).toLowerCase(Locale.ROOT);
    if (!header.endsWith(";base64")) {
      throw wrong("is a data: URI without base64");
    }
    this.mediaType = header.substring(0, header.indexOf(';'));
    // One byte for each character: a character beyond Latin-1 becomes '?', which is not base64.
    this.ascii = uri.getBytes(StandardCharsets.ISO_8859_1);
    this.start = comma + 1;
  }

  /**
   * Decodes a picture's bytes.
   *
   * @param path of the field, for messages
   * @throws InvalidField when it is another URI, or not base64
   */
  static MediaInput picture(String uri, String path) {
    DataUri data = new DataUri(uri, path, PICTURE);
    return new MediaInput.Picture(data.decode(data.start, data.ascii.length));
  }

  /**
   * Decodes a video's frames.
   *
   * @param path of the field, for messages
   * @throws InvalidField when it is another URI, not base64, or a container
   */
  static MediaInput video(String uri, String path, double framesPerSecond) {
    DataUri data = new DataUri(uri, path, VIDEO);
    List<ByteString> files =
        switch (data.mediaType) {
          case "video/jpeg" -> data.frames();
          case "image/gif", "video/gif" -> List.of(data.decode(data.start, data.ascii.length));
          default ->
              throw data.wrong(
                  "is of the type \"%s\"; %s".formatted(data.mediaType, MediaInput.Video.EXPECTED));
        };
    return MediaInput.Video.of(path, files, framesPerSecond);
  }

  private List<ByteString> frames() {
    List<ByteString> frames = new ArrayList<>();
    int from = start;
    for (int at = start; at <= ascii.length; at++) {
      if (at == ascii.length || ascii[at] == ',') {
        frames.add(decode(from, at));
        from = at + 1;
      }
    }
    return frames;
  }

  private ByteString decode(int from, int to) {
    try {
      ByteBuffer decoded = Base64.getDecoder().decode(ByteBuffer.wrap(ascii, from, to - from));
      return UnsafeByteOperations.unsafeWrap(decoded);
    } catch (IllegalArgumentException e) {
      throw wrong("is not valid base64 (%s)".formatted(e.getMessage()));
    }
  }

  private InvalidField wrong(String what) {
    return new InvalidField(path, what + "; " + expected);
  }
}
