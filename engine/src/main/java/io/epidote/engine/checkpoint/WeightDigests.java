package io.epidote.engine.checkpoint;

import io.epidote.engine.disk.Drafts;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.attribute.BasicFileAttributes;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.time.Duration;
import java.time.Instant;
import java.util.HexFormat;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/**
 * SHA-256 of weight files, remembered on disk for as long as a file keeps its path, size, time of
 * change and identity. Safe for use by several threads and processes.
 *
 * @param folder where digests are kept; null keeps none
 */
record WeightDigests(@Nullable Path folder) {
  /** A younger file could be written again without a change of its time. */
  private static final Duration SETTLED = Duration.ofSeconds(2);

  private static final long CHUNK = 64L << 20;

  /** Hex digest of a file's bytes. */
  String of(SafetensorsFile file) {
    Optional<Path> entry = entry(file);
    Optional<String> known = entry.flatMap(WeightDigests::read);
    if (known.isPresent()) {
      return known.get();
    }
    // Judged before the bytes are read, because a change may come while they are.
    boolean settled =
        file.stamp().map(stamp -> stamp.settledAt(Instant.now(), SETTLED)).orElse(false);
    String digest = digest(file.bytes());
    if (settled && Stamp.of(file.file()).equals(file.stamp())) {
      entry.ifPresent(path -> write(path, digest));
    }
    return digest;
  }

  private Optional<Path> entry(SafetensorsFile file) {
    if (folder == null) {
      return Optional.empty();
    }
    Path root = folder;
    return file.stamp()
        .map(stamp -> {
          String key = "%s\n%s".formatted(file.file().toAbsolutePath(), stamp);
          return root.resolve(hex(sha256().digest(key.getBytes(StandardCharsets.UTF_8))));
        });
  }

  private static Optional<String> read(Path entry) {
    try {
      return Optional.of(Files.readString(entry)).filter(text -> text.matches("[0-9a-f]{64}"));
    } catch (IOException e) {
      return Optional.empty();
    }
  }

  private static void write(Path entry, String digest) {
    try {
      Files.createDirectories(entry.getParent());
      Drafts.removeOld(entry.getParent());
      Path draft = Files.createTempFile(entry.getParent(), Drafts.PREFIX, "");
      try {
        Files.writeString(draft, digest);
        Files.move(draft, entry, StandardCopyOption.ATOMIC_MOVE);
      } finally {
        Files.deleteIfExists(draft);
      }
    } catch (IOException e) {
      // Nothing is lost but time: the next start computes the digest again.
    }
  }

  private static String digest(MemorySegment bytes) {
    MessageDigest digest = sha256();
    for (long at = 0; at < bytes.byteSize(); at += CHUNK) {
      long length = Math.min(CHUNK, bytes.byteSize() - at);
      digest.update(bytes.asSlice(at, length).asByteBuffer());
    }
    return hex(digest.digest());
  }

  static MessageDigest sha256() {
    try {
      return MessageDigest.getInstance("SHA-256");
    } catch (NoSuchAlgorithmException e) {
      throw new IllegalStateException("every Java platform has SHA-256", e);
    }
  }

  private static String hex(byte[] bytes) {
    return HexFormat.of().formatHex(bytes);
  }

  /** What changes when a file's content does: size, time of change in nanoseconds, inode. */
  record Stamp(long size, Instant modified, String inode) {
    /** Empty when the file cannot be read or its file system tells no identity. */
    static Optional<Stamp> of(Path file) {
      try {
        BasicFileAttributes attributes = Files.readAttributes(file, BasicFileAttributes.class);
        return Optional.ofNullable(attributes.fileKey())
            .map(key ->
                new Stamp(
                    attributes.size(), attributes.lastModifiedTime().toInstant(), key.toString()));
      } catch (IOException e) {
        return Optional.empty();
      }
    }

    boolean settledAt(Instant now, Duration age) {
      return modified.isBefore(now.minus(age));
    }
  }
}
