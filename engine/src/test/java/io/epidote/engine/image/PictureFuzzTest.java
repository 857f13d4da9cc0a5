package io.epidote.engine.image;

import static org.assertj.core.api.Assertions.assertThat;

import io.epidote.engine.checkpoint.Checkpoint;
import io.epidote.engine.checkpoint.CheckpointFixture;
import io.epidote.engine.checkpoint.CheckpointFixture.Form;
import io.epidote.engine.error.EpidoteException.InvalidRequest;
import io.epidote.engine.error.EpidoteException.TooLarge;
import io.epidote.engine.fuzz.Fuzz;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Pictures of every format with changed bytes give tiles, or an error that is the client's. */
class PictureFuzzTest {
  @TempDir Path folder;

  @Test
  void changedPicturesAreReadOrRefused() throws Exception {
    CheckpointFixture.write(Form.SCENES, folder, 1);
    // Within what pixels may take, heap follows from them: 4 bytes each, and some readers' copies.
    ImageLimits limits = new ImageLimits(1 << 20, 1_000_000, 4096);
    try (Checkpoint checkpoint = Checkpoint.open(folder)) {
      ImageProcessor processor = ImageProcessor.open(folder, checkpoint.config(), limits);
      List<byte[]> corpus = Arrays.stream(ImageFormat.values()).map(Pictures::file).toList();
      long count =
          new Fuzz("pictures", corpus, 2000, 256L << 20)
              .run(input -> {
                try {
                  processor.tiles(input);
                  return true;
                } catch (InvalidRequest | TooLarge e) {
                  return false;
                }
              });
      assertThat(count).isPositive();
    }
  }
}
