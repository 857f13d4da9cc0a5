package io.epidote.trainer;

import static org.assertj.core.api.Assertions.assertThat;

import java.awt.image.BufferedImage;
import java.util.Collections;
import org.junit.jupiter.api.Test;

class TilingTest {
  @Test
  void aSmallPictureIsOneTileWithoutGridMarkers() {
    Tiling tiling = Tiling.of(picture(64, 64));
    assertThat(tiling.tiles()).hasSize(1);
    assertThat(tiling.expansion())
        .hasSize(19)
        .startsWith(Vocabulary.FAKE, Vocabulary.GLOBAL)
        .endsWith(Vocabulary.FAKE);
  }

  @Test
  void aLargePictureIsFourTilesAndAnOverview() {
    Tiling tiling = Tiling.of(picture(128, 128));
    assertThat(tiling.tiles()).hasSize(5);
    assertThat(tiling.expansion()).hasSize(4 * 18 + 2 + 1 + 19);
    assertThat(Collections.frequency(tiling.expansion(), Vocabulary.IMAGE)).isEqualTo(5 * 16);
    assertThat(Collections.frequency(tiling.expansion(), Vocabulary.NEWLINE)).isEqualTo(3);
  }

  @Test
  void theRuleOfRowsAndColumns() {
    assertThat(Tiling.of(picture(128, 64)))
        .extracting(Tiling::rows, Tiling::columns)
        .containsExactly(1, 2);
    assertThat(Tiling.of(picture(64, 128)))
        .extracting(Tiling::rows, Tiling::columns)
        .containsExactly(2, 1);
    assertThat(Tiling.of(picture(640, 480)))
        .extracting(Tiling::rows, Tiling::columns)
        .containsExactly(2, 2);
    assertThat(Tiling.of(picture(10, 7)))
        .extracting(Tiling::rows, Tiling::columns)
        .containsExactly(1, 1);
    assertThat(Tiling.of(picture(1000, 3)))
        .extracting(Tiling::rows, Tiling::columns)
        .containsExactly(1, 2);
  }

  @Test
  void tilesAreCutInReadingOrderAndNormalised() {
    BufferedImage picture = picture(128, 128);
    picture.setRGB(64, 0, 0xFF0000); // first pixel of the second tile
    Tiling tiling = Tiling.of(picture);
    assertThat(tiling.tiles().get(1)[0]).isEqualTo(1f);
    assertThat(tiling.tiles().get(1)[64 * 64]).isEqualTo(-1f);
    assertThat(tiling.tiles().get(0)[0]).isEqualTo(-1f);
  }

  private static BufferedImage picture(int width, int height) {
    return new BufferedImage(width, height, BufferedImage.TYPE_INT_RGB);
  }
}
