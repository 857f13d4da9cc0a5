package io.epidote.node.memory;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/**
 * A range of this process's addresses, as {@code /proc/self/smaps} tells it.
 *
 * @param end the first address behind it
 * @param file what is mapped, or empty for memory without a file
 * @param resident bytes in memory
 * @param proportional of these, this process's share: a page that n processes map counts for 1/n
 */
record Mapping(
    long start, long end, boolean executable, String file, long resident, long proportional) {
  private static final Path SMAPS = Path.of("/proc/self/smaps");

  /** All mappings; none where the system does not tell. */
  static List<Mapping> all() {
    if (!Files.isReadable(SMAPS)) {
      return List.of();
    }
    try {
      return parse(Files.readAllLines(SMAPS));
    } catch (IOException e) {
      return List.of();
    }
  }

  static List<Mapping> parse(List<String> lines) {
    List<Mapping> mappings = new ArrayList<>();
    String head = "";
    long resident = 0;
    for (String line : lines) {
      // A mapping's first line begins with its addresses, the others with an attribute's name.
      if (!Character.isUpperCase(line.charAt(0))) {
        head = line;
      } else if (line.startsWith("Rss:")) {
        resident = kibibytes(line);
      } else if (line.startsWith("Pss:")) {
        mappings.add(of(head, resident, kibibytes(line)));
      }
    }
    return mappings;
  }

  private static Mapping of(String head, long resident, long proportional) {
    String[] fields = head.split("\\s+", 6);
    int dash = fields[0].indexOf('-');
    String name = fields.length > 5 ? fields[5] : "";
    return new Mapping(
        Long.parseUnsignedLong(fields[0].substring(0, dash), 16),
        Long.parseUnsignedLong(fields[0].substring(dash + 1), 16),
        fields[1].charAt(2) == 'x',
        name.startsWith("/") ? name : "",
        resident,
        proportional);
  }

  private static long kibibytes(String line) {
    return Long.parseLong(line.replaceAll("\\D", "")) << 10;
  }
}
