/* SPDX-License-Identifier: Apache-2.0 */
/* libqrencode makes the modules (ISO/IEC 18004). Of the four that the standard wants as a margin
 * two are left, as the frame of a dialog is quiet too; cameras do not mind. */
#include "ui-tui/model/qr.h"

#include <qrencode.h>
#include <wchar.h>

#define MARGIN 2

static QRcode *encode(const char *text)
{
	/* The smallest that it fits in; a code of any length of ours is of the first few. */
	return wcwidth(L'▀') == 1 && wcwidth(L'█') == 1
		       ? QRcode_encodeString(text, 0, QR_ECLEVEL_M, QR_MODE_8, 0)
		       : NULL;
}

/* Beyond the square there is the margin, which is light. */
static bool is_dark(const QRcode *q, unsigned line, unsigned column)
{
	unsigned width = (unsigned)q->width;

	if (line < MARGIN || column < MARGIN || line >= width + MARGIN || column >= width + MARGIN)
		return false;
	return q->data[(line - MARGIN) * width + column - MARGIN] & 1;
}

static const char *glyph(bool upper, bool lower)
{
	if (upper)
		return lower ? "█" : "▀";
	return lower ? "▄" : " ";
}

unsigned qr_columns(const char *text)
{
	QRcode *q = encode(text);
	unsigned columns = q ? (unsigned)q->width + 2 * MARGIN : 0;

	QRcode_free(q);
	return columns;
}

unsigned qr_draw(struct canvas *c, unsigned line, unsigned column, unsigned lines, unsigned columns,
		 const char *text)
{
	QRcode *q = encode(text);
	unsigned side = q ? (unsigned)q->width + 2 * MARGIN : 0, used = (side + 1) / 2;

	if (used > lines || side > columns)
		used = 0;
	for (unsigned i = 0; i < used; i++)
		for (unsigned k = 0; k < side; k++)
			canvas_put(c, line + i, column + k, 1, STYLE_PICTURE,
				   glyph(is_dark(q, 2 * i, k), is_dark(q, 2 * i + 1, k)));
	QRcode_free(q);
	return used;
}
