# LCTR with CDTR's SBA (Table X) on CUB-200-2011: the settings of LCTR, alpha and normalization of CDTR. No code is
# published; the mask is the map of the label as LCTR makes it, of the size of CDTR's: its relational attention averages
# 1 / 197^2, the attention of CDTR, which adds six heads, 6 / 197.
_base_ = ['../lctr/lctr_deit-s_cub.py']
model = dict(
    head=dict(
        map_scale=6 * 197,
        map_losses=dict(loss_sba=dict(
            type='mmwsol.SemanticBoostLoss',
            text_embeddings='data/clip/cub_vit-b-32.pt',
            map_norm='none',
            loss_weight=2.4))))
