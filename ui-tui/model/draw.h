/* SPDX-License-Identifier: Apache-2.0 */
/* The whole screen, from what is known and what is selected. */
#pragma once

#include "ui-tui/model/canvas.h"
#include "ui-tui/model/ui.h"

/* Draws all of it anew; below UI_COLUMNS_MIN and UI_LINES_MIN only what is needed. */
void draw_screen(const struct ui *ui, struct canvas *c);
