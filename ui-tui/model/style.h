/* SPDX-License-Identifier: Apache-2.0 */
/* Kinds of text. */
#pragma once

/* What a text is; how that looks is the terminal's. */
enum style {
	STYLE_PLAIN,
	STYLE_TITLE,
	STYLE_STRONG,
	STYLE_DIM,
	STYLE_GOOD,
	STYLE_WARN,
	STYLE_BAD,
	STYLE_PICTURE, /* dark on light, whatever the terminal's colours are */
	_STYLE_MAX,
};
