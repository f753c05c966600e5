"""Pictures: grids of coloured cells and line charts, as PNG, SVG and text for terminals. Knows not what is drawn."""
