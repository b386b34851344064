# TS-CAM with CDTR's SBA (Table X) on CUB-200-2011: the settings of TS-CAM, alpha and normalization of CDTR. No code is
# published; the mask is the map of the label as TS-CAM makes it, of the size of CDTR's: TS-CAM adds 12 blocks and averages
# six heads, CDTR the other way round.
_base_ = ['../ts-cam/ts-cam_deit-s_cub.py']
model = dict(
    backbone=dict(tap_in_train=True),
    head=dict(
        map_scale=6 / 12,
        map_losses=dict(loss_sba=dict(
            type='mmwsol.SemanticBoostLoss',
            text_embeddings='data/clip/cub_vit-b-32.pt',
            map_norm='none',
            loss_weight=2.4))))
