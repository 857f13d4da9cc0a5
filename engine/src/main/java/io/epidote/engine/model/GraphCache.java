package io.epidote.engine.model;

import static java.util.Objects.requireNonNull;

import io.epidote.engine.checkpoint.Checkpoint;
import io.epidote.engine.disk.Drafts;
import io.epidote.engine.error.EpidoteException.BadCheckpoint;
import io.epidote.engine.onnx.WeightFile;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;

/**
 * Graphs and converted weights on disk, by content: written once, then mapped and shared by every
 * process. An entry is a folder with {@code model.onnx} and {@code weights.bin}; it appears whole
 * or not at all, because it is written elsewhere and moved into place. What a killed process left
 * half written, a later one removes. Its name holds the checkpoint's fingerprint and that of the
 * planned graph, so that a release that writes a graph differently does not read an older one's.
 */
final class GraphCache {
  static final String MODEL = "model.onnx";
  static final String WEIGHTS = "weights.bin";

  /** Changes whenever the same tensors of a graph are filled differently. */
  private static final int FORMAT = 4;

  private final Path root;

  GraphCache(Path root) {
    this.root = requireNonNull(root, "root is null");
    Drafts.removeOld(root);
  }

  /** Writes a graph and its weights. */
  @FunctionalInterface
  interface Writer {
    byte[] write(Checkpoint checkpoint, Precision precision, WeightFile weights);
  }

  /** The entry's folder, written first when it is not there. */
  Path entry(Checkpoint checkpoint, String stage, Precision precision, Writer writer) {
    Path entry =
        root.resolve(
            "%s-%s-%s-v%d-%s"
                .formatted(
                    checkpoint.fingerprint().substring(0, 32),
                    stage,
                    precision.word(),
                    FORMAT,
                    fingerprint(writer.write(checkpoint, precision, WeightFile.plan(WEIGHTS)))));
    if (Files.isDirectory(entry)) {
      return entry;
    }
    try {
      Files.createDirectories(root);
      Path draft = Files.createTempDirectory(root, Drafts.PREFIX);
      try {
        byte[] model;
        try (WeightFile weights = new WeightFile(draft.resolve(WEIGHTS))) {
          model = writer.write(checkpoint, precision, weights);
        }
        Files.write(draft.resolve(MODEL), model);
        publish(draft, entry);
      } finally {
        Drafts.delete(draft);
      }
      return entry;
    } catch (UncheckedIOException | IOException e) {
      throw new BadCheckpoint(
          "The converted weights of "
              + checkpoint.folder()
              + " cannot be written to "
              + root
              + " ("
              + e.getMessage()
              + "); make room there, or name another folder with EPIDOTE_CACHE",
          e);
    }
  }

  private static String fingerprint(byte[] graph) {
    try {
      return HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(graph), 0, 8);
    } catch (NoSuchAlgorithmException e) {
      throw new IllegalStateException(e);
    }
  }

  private static void publish(Path draft, Path entry) throws IOException {
    try {
      Files.move(draft, entry, StandardCopyOption.ATOMIC_MOVE);
    } catch (IOException e) {
      // When another process was first, its entry has the same content.
      if (!Files.isDirectory(entry)) {
        throw e;
      }
    }
  }
}
